"""A real database in a temporary folder, and a site over it."""

from __future__ import annotations

import pytest

from node.store.database import database_url, open_database
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.web.app import build
from tests.web.site import Browser, Past


@pytest.fixture
def database(tmp_path):
    engine = open_database(database_url("sqlite", tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture
def past(database):
    return Past(Index(database), Ledger(database), Quarantine(database))


@pytest.fixture
def browser(past):
    return Browser(build(past.index, past.ledger, past.quarantine))
