"""An index of its own for each test; one contract for SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from node.store.database import database_url, metadata, open_database
from node.store.index import Index
from node.store.ledger import Ledger
from tests.builders.disk import small_disks


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """A database without any table."""
    if request.param == "sqlite":
        return database_url("sqlite", tmp_path)
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture(scope="session")
def postgres_engine(postgres):
    """One for all tests: emptying it is faster than making it."""
    engine = open_database(postgres.new_database())
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    if request.param == "sqlite":
        engine = open_database(database_url("sqlite", tmp_path))
        yield engine
        engine.dispose()
        return
    engine = request.getfixturevalue("postgres_engine")
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "schema_version":
                connection.execute(table.delete())
    yield engine


@pytest.fixture
def index(engine):
    return Index(engine)


@pytest.fixture
def ledger(engine):
    return Ledger(engine)


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a tmpfs with the given options."""
    with small_disks(tmp_path) as mount:
        yield mount


@pytest.fixture
def events():
    """What is logged meanwhile."""
    with capture_logs() as logged:
        yield logged
