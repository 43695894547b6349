"""What holds for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from tests.builders.tools import need
from tests.postgres.server import Server, missing, running_server

# Tests that import ONNX Runtime by themselves must not report to its maker either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Peers that are down on purpose would fill every failure's report.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, or a skip with the reason."""
    need(missing())
    with running_server() as server:
        yield server
