"""An index in a folder of its own."""

from __future__ import annotations

import pytest

from node.store.database import database_url, open_database
from node.store.index import Index
from node.store.ledger import Ledger


@pytest.fixture
def engine(tmp_path):
    engine = open_database(database_url("sqlite", tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture
def index(engine):
    return Index(engine)


@pytest.fixture
def ledger(engine):
    return Ledger(engine)
