"""A listener on loopback with a data directory behind it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from node.config.model import Storage
from node.config.reports import Hl7
from node.receive.hl7.keep import MessageKeeper
from node.receive.hl7.server import MllpServer
from node.store.database import database_url, open_database
from node.store.files import Files
from node.store.report_messages import ReportMessages
from node.store.reports import Reports
from tests.builders.hl7 import Sender
from tests.builders.network import free_port

RIS = {"host": "127.0.0.1", "sending_application": "RIS", "sending_facility": "HOSP"}


class Desk:
    """A listener, what it keeps, and those who call it."""

    def __init__(self, folder, storage=None, **difference):
        folder.mkdir()
        self.files = Files(folder)
        self.engine = open_database(database_url("sqlite", folder))
        self.reports = Reports(self.engine)
        self.messages = ReportMessages(self.engine)
        self.keeper = MessageKeeper(
            self.files,
            self.reports,
            self.messages,
            storage or Storage(min_free_percent=0, min_free_inodes_percent=0),
            lambda: datetime.now(UTC),
        )
        hl7 = {"host": "127.0.0.1", "port": free_port(), "accept_from": [RIS], **difference}
        self.server = MllpServer(Hl7.model_validate(hl7), self.keeper.keep)
        self.server.start()
        self.callers = []
        self._is_open = True

    def call(self, **options):
        self.callers.append(Sender(self.server.port, **options))
        return self.callers[-1]

    def texts(self):
        """The texts of all reports, the newest first."""
        return [
            self.files.path(row.text_path).read_text(encoding="utf-8")
            for row in self.reports.newest()
        ]

    def close(self):
        if not self._is_open:
            return
        self._is_open = False
        for caller in self.callers:
            caller.close()
        self.server.stop()
        self.engine.dispose()


@pytest.fixture
def open_desk(tmp_path):
    """Opens listeners; all of them are ended after the test."""
    desks = []

    def open_one(**difference):
        folder = difference.pop("folder", tmp_path / str(len(desks)))
        desks.append(Desk(folder, **difference))
        return desks[-1]

    yield open_one
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(open_desk):
    """A listener with its defaults."""
    return open_desk()
