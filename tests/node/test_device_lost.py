"""A backend that loses its device in a running node: the process ends, the next one goes on."""

from __future__ import annotations

import os

import pytest

from node.domain import StudyState
from tests.builders import ct_series
from tests.builders.network import store_all
from tests.node.running import RunningNode
from tests.plugin.installed import install

pytestmark = pytest.mark.loopback

PROJECT = """\
[project]
name = "breaking"
version = "1.0.0"

[project.entry-points."wetread.backends"]
breaking = "breaking:BreakingBackend"
"""
BACKEND = """\
import os
from pathlib import Path

from engines.backends.onnx import OnnxBackend
from engines.errors import DeviceLost

LOST = Path(os.environ["BREAKING_FILE"])


class BreakingBackend(OnnxBackend):
    name = "breaking"

    def load(self, package, *, device):
        session = super().load(package, device=device)
        run = session.run

        def break_once(inputs):
            if not LOST.exists():
                LOST.touch()
                raise DeviceLost("illegal address")
            return run(inputs)

        session.run = break_once
        return session
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Install the backend where the node's processes find it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "breaking.py").write_text(BACKEND)
    install(source, tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    monkeypatch.setenv("BREAKING_FILE", str(tmp_path / "lost"))


def test_a_lost_device_costs_a_process_and_not_the_study(tmp_path, pacs, plugin):
    node = RunningNode(tmp_path / "node", pacs.port, work={"backend": ["breaking", "onnx"]})
    try:
        node.start()
        study = ct_series(slices=6, seed="device")
        uid = study[0].StudyInstanceUID
        store_all(node.port, study)

        assert node.settled(uid) is StudyState.DONE
    finally:
        node.stop()

    log = node.log_file.read_text()
    assert log.count('"device.lost"') == 1
    assert f'"exit_code": {os.EX_TEMPFAIL}' in log
    assert sorted(ds.Modality for ds in pacs.of(uid)) == ["OT", "SEG", "SR"]
