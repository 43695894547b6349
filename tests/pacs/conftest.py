"""Orthanc and a node that route to each other, and the tools that judge their objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.network import free_port
from tests.builders.tools import need
from tests.node.running import RunningNode
from tests.pacs.orthanc import Orthanc

MODELS = Path(__file__).resolve().parents[2] / "models"
RULES = [
    {
        "name": "chest CT",
        "when": {"Modality": "CT", "slices": {"min": 20}},
        "run": ["ct-lungs"],
        "send_to": ["pacs"],
    },
    {
        "name": "chest radiograph",
        "when": {"Modality": ["CR", "DX"]},
        "run": ["cxr-view", "cxr-lungs"],
        "send_to": ["pacs"],
    },
]


class Hospital:
    """A PACS and a node with the reference models, each the other's peer."""

    def __init__(self, folder: Path) -> None:
        node_port = free_port()
        self.orthanc = Orthanc(folder / "orthanc", node_port)
        self.node = RunningNode(
            folder / "node",
            self.orthanc.port,
            pacs_ae_title="ORTHANC",
            port=node_port,
            models_dir=str(MODELS),
            rules=RULES,
            results={"study_status": "all"},
        )

    def start(self) -> None:
        """Start both."""
        self.orthanc.start()
        self.node.start()

    def stop(self) -> None:
        """Stop both."""
        self.node.stop()
        self.orthanc.stop()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A PACS and a node for the tests of one module."""
    need(Orthanc.missing())
    running = Hospital(tmp_path_factory.mktemp("hospital"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
