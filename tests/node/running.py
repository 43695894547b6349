"""A whole node in processes of its own, with tiny models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import yaml

from node.app.stores import Stores, open_stores
from node.config.destination import DimseDestination
from node.config.load import load_config
from node.deliver.scu import echo
from node.domain import ENDED, StudyState
from node.errors import TransientError
from tests.builders.network import free_port, wait_until
from tests.engines.builders import LUNG, manifest, network, write_package

START_WITHIN_S = 60
SETTLE_WITHIN_S = 90


def tiny_models(folder: Path) -> Path:
    """A 3D segmentation by threshold, and a 2D classifier by mean brightness."""
    window = [{"kind": "window", "a_min": -1000, "a_max": 1000, "b_min": 0, "b_max": 1}]
    common = {"output__dicom": ["SEG", "SR", "SC"], "preprocess__normalize": window}
    segment = manifest(
        metadata__name="tiny-segment",
        postprocess__labels={1: LUNG},
        postprocess__measurements=["volume_ml", "mean_hu"],
        # Every CT of the tests has it: a report that says otherwise contradicts it.
        findings=[
            {"concept": "pneumothorax", "label": 1, "measure": "volume_ml", "present_from": 0.001}
        ],
        **common,
    )
    write_package(folder / "tiny-segment", segment, network(kind="threshold"))
    classify = manifest(
        task="classify",
        ndim=2,
        metadata__name="tiny-classify",
        select={"Modality": ["CR", "DX"]},
        **{**common, "output__dicom": ["SR", "SC"]},
    )
    write_package(folder / "tiny-classify", classify, network(kind="mean", ndim=2))
    return folder


class RunningNode:
    """``wetread run`` and what a test asks of it.

    Parameters
    ----------
    pacs_port, pacs_ae_title
        The only destination, which may also send.
    port
        Where the node listens; a free one by default.
    receive
        Keys of the section `receive` that are to be others.
    changes
        Top-level keys of the configuration. Unless they say so, studies have no status object.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int,
        *,
        pacs_ae_title: str = "MAINPACS",
        port: int | None = None,
        receive: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.config_file = folder / "wetread.yaml"
        content = {
            "data_dir": str(folder / "data"),
            "models_dir": str(tiny_models(folder / "models")),
            "receive": {
                "ae_title": "WETREAD",
                "host": "127.0.0.1",
                "port": self.port,
                "quiet_period_s": 1,
                "journal_bytes": 8 << 20,
                "accept_from": [
                    {"ae_title": "CT1", "host": "127.0.0.1"},
                    {"ae_title": pacs_ae_title, "host": "127.0.0.1"},
                ],
                **(receive or {}),
            },
            "destinations": {
                "pacs": {
                    "ae_title": pacs_ae_title,
                    "host": "127.0.0.1",
                    "port": pacs_port,
                    "timeout_s": 10,
                    "retry": {"first_s": 0.5, "longest_s": 1},
                }
            },
            "rules": [
                {
                    "name": "CT",
                    "when": {"Modality": "CT", "slices": {"min": 3}},
                    "run": ["tiny-segment"],
                    "send_to": ["pacs"],
                },
                {
                    "name": "radiograph",
                    "when": {"Modality": ["CR", "DX"]},
                    "run": ["tiny-classify"],
                    "send_to": ["pacs"],
                },
            ],
            "results": {"study_status": "none"},
            "web": {"port": free_port()},
            "log": {"level": "debug", "format": "json"},
        }
        self.config_file.write_text(yaml.safe_dump({**content, **changes}))
        self.config = load_config(self.config_file)
        self.stores: Stores = open_stores(self.config)
        self.log_file = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all roles and wait until the node answers a C-ECHO."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "node", "run", "--config", str(self.config_file)],
                stdout=log,
                stderr=log,
            )
        wait_until(self.answers, within_s=START_WITHIN_S, what=f"C-ECHO ({self.log_file})")
        wait_until(
            lambda: b"work.started" in self.log_file.read_bytes(),
            within_s=START_WITHIN_S,
            what="the work role",
        )

    def answers(self) -> bool:
        """Whether the node answers a C-ECHO."""
        node = DimseDestination(ae_title="WETREAD", host="127.0.0.1", port=self.port, timeout_s=5)
        try:
            echo(node, "CT1")
        except TransientError:
            return False
        return True

    def process(self, role: str) -> psutil.Process:
        """The process of a role; ``supervisor`` is their parent."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        if role == "supervisor":
            return supervisor
        return self.processes(role)[0]

    def processes(self, role: str, number: int = 1) -> list[psutil.Process]:
        """All processes of a role, as soon as there are at least so many."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        wait_until(
            lambda: len(self._roles(supervisor, role)) >= number, within_s=20, what=f"role {role}"
        )
        return self._roles(supervisor, role)

    @staticmethod
    def _roles(supervisor: psutil.Process, role: str) -> list[psutil.Process]:
        found = []
        for child in supervisor.children():
            try:
                if role in child.cmdline():
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def settled(self, study_instance_uid: str, *, revision: int = 1) -> StudyState:
        """Wait until a revision has ended, and say how."""

        def state() -> StudyState | None:
            row = self.stores.index.revision(study_instance_uid, revision)
            return row.state if row is not None and row.state in ENDED else None

        wait_until(
            lambda: state() is not None,
            within_s=SETTLE_WITHIN_S,
            what=f"study settled ({self.log_file})",
        )
        found = state()
        assert found is not None
        return found

    def stop(self) -> None:
        """Stop as an administrator does, with SIGTERM; children of a killed supervisor too."""
        self.stores.close()
        if self._process is None:
            return
        children = []
        if self._process.poll() is None:
            children = psutil.Process(self._process.pid).children()
            self._process.terminate()
        self._process.wait(30)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, f"still running after stop: {alive}"
        self._process = None
