"""One node and one PACS for all tests of a module: a start costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.builders.network import Peer
from tests.node.running import RunningNode


@pytest.fixture(scope="module")
def pacs() -> Iterator[Peer]:
    """A PACS that takes everything; a test looks only at what came for its own study."""
    running = Peer()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Peer) -> Iterator[RunningNode]:
    """A running node whose results go to `pacs`."""
    running = RunningNode(tmp_path_factory.mktemp("node"), pacs.port)
    try:
        running.start()
        yield running
    finally:
        running.stop()
