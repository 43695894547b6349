"""What a receiver process must not load: it is there many times, and must be back at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.builders import ct_series
from tests.builders.network import store_all, wait_until
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback

NOT_LOADED = {
    "PIL",
    "dbos",
    "engines",
    "highdicom",
    "jinja2",
    "nlp",
    "numpy",
    "onnxruntime",
    "scipy",
    "starlette",
    "uvicorn",
}
PARTS_NOT_LOADED = {
    "node.deliver",
    "node.dicom",
    "node.encode",
    "node.plan",
    "node.web",
    "node.work",
}

RECEIVER = """
import sys
from node.cli.main import cli
cli(sys.argv[1:], standalone_mode=False)
print(*(name for name, module in sys.modules.items() if module is not None))
"""


def test_a_receiver_that_has_stored_a_series_has_loaded_only_what_receiving_needs(tmp_path):
    node = RunningNode(tmp_path, pacs_port=104)
    arguments = ["run", "--config", str(node.config_file), "--role", "receive", "--supervised"]
    receiver = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(node.answers, within_s=30, what="the receiver")
        assert store_all(node.port, ct_series(seed="lean")) == [0x0000] * 4
        loaded = set(receiver.communicate(timeout=30)[0].decode().split())
    finally:
        receiver.kill()
        receiver.wait(10)
        node.stop()

    assert "node.receive.scp" in loaded
    assert {name.split(".")[0] for name in loaded} & NOT_LOADED == set()
    assert {".".join(name.split(".")[:2]) for name in loaded} & PARTS_NOT_LOADED == set()
