"""What holds for all tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.builders.tools import need
from tests.postgres.server import Server, missing, running_server

# Peers that are down on purpose would fill every failure's report.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, or a skip with the reason."""
    need(missing())
    with running_server() as server:
        yield server
