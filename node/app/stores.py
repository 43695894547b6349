"""What all roles share: data directory and database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.config.model import Config
from node.errors import ConfigError
from node.store.acceptance import Acceptance
from node.store.commitment import Commitments
from node.store.database import database_url, open_database
from node.store.discordances import Discordances
from node.store.files import Files
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.store.readings import Readings
from node.store.report_messages import ReportMessages
from node.store.reports import Reports


def utc_now() -> datetime:
    """The clock of a running node."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Stores:
    """What all roles share."""

    files: Files
    index: Index
    ledger: Ledger
    quarantine: Quarantine
    reports: Reports
    report_messages: ReportMessages
    readings: Readings
    discordances: Discordances
    commitments: Commitments
    acceptance: Acceptance
    engine: Engine
    database_url: str

    def close(self) -> None:
        """Close the idle connections to the database; the next use opens new ones."""
        self.engine.dispose()


def open_stores(config: Config) -> Stores:
    """Open data directory and database, creating both if absent.

    Raises
    ------
    ConfigError
        If the data directory cannot be written or the database not be reached.
    """
    try:
        files = Files(config.data_dir)
    except OSError as error:
        raise ConfigError(f"data_dir: cannot use {config.data_dir}: {error.strerror}") from error
    url = database_url(config.database, config.data_dir)
    try:
        engine = open_database(url)
    except SQLAlchemyError as error:
        raise ConfigError(f"database: cannot be opened: {type(error).__name__}") from error
    return Stores(
        files=files,
        index=Index(engine),
        ledger=Ledger(engine),
        quarantine=Quarantine(engine),
        commitments=Commitments(engine, config.data_dir),
        acceptance=Acceptance(engine),
        reports=Reports(engine),
        report_messages=ReportMessages(engine),
        readings=Readings(engine),
        discordances=Discordances(engine),
        engine=engine,
        database_url=url,
    )
