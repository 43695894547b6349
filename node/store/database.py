"""The database: SQLite beside the data by default, PostgreSQL for several hosts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateColumn

import node.store.report_tables  # noqa: F401 - adds its tables to the schema
from node.store.columns import Sentence, Uid, UtcDateTime, metadata

SQLITE_FILE = "wetread.sqlite"

studies = Table(
    "studies",
    metadata,
    Column("study_instance_uid", Uid, primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("revision", Integer, nullable=False, default=0),
    Column("first_received_at", UtcDateTime, nullable=False),
    Column("last_received_at", UtcDateTime, nullable=False, index=True),
    Column("reason", Sentence, nullable=False, default=""),
    # SHA-256 of the patient's identity: enough to see that it changes, too little to read it.
    Column("patient", String(64), nullable=False, default="", server_default=""),
)

instances = Table(
    "instances",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("study_instance_uid", Uid, nullable=False),
    Column("series_instance_uid", Uid, nullable=False, index=True),
    Column("sop_instance_uid", Uid, nullable=False, index=True),
    Column("sop_class_uid", Uid, nullable=False),
    Column("transfer_syntax_uid", Uid, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("standing", String(16), nullable=False, default="used", server_default="used"),
    Column("standing_reason", Sentence, nullable=False, default="", server_default=""),
    UniqueConstraint("study_instance_uid", "series_instance_uid", "sop_instance_uid", "digest"),
)

# Few of millions: the status page counts them at every look.
Index(
    "ix_instances_quarantined",
    instances.c.study_instance_uid,
    sqlite_where=instances.c.standing == "quarantined",
    postgresql_where=instances.c.standing == "quarantined",
)

# The key decides which of two studies has a series, also between processes.
series = Table(
    "series",
    metadata,
    Column("series_instance_uid", Uid, primary_key=True),
    Column("study_instance_uid", Uid, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("study_instance_uid", Uid, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("complete_at", UtcDateTime, nullable=False),
    Column("complete_reason", Sentence, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Sentence, nullable=False, default=""),
    Column("plan", JSON),
    Column("finished_at", UtcDateTime),
)

steps = Table(
    "steps",
    metadata,
    Column("study_instance_uid", Uid, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("step", String(16), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("problem", Sentence, nullable=False, default=""),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sop_instance_uid", Uid, primary_key=True),
    Column("sop_class_uid", Uid, nullable=False),
    Column("series_instance_uid", Uid, nullable=False),
    Column("study_instance_uid", Uid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("model", String(128), nullable=False),
    Column("run_key", String(64), nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("form", String(16)),
    Index("ix_artifacts_study", "study_instance_uid", "revision"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sop_instance_uid", Uid, primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("study_instance_uid", Uid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("status", Integer),
    Column("reason", Sentence, nullable=False, default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("priority", Integer, nullable=False, default=0, server_default="0"),
    Column("next_try_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("proof", String(16)),
    Column("proof_round", Integer, nullable=False, default=0, server_default="0"),
    Column("proof_reason", Sentence, nullable=False, default="", server_default=""),
    Column("proven_by", String(32), nullable=False, default="", server_default=""),
    Column("proven_at", UtcDateTime),
    Column("transaction_uid", Uid, index=True),
    Column("replaced_by", Uid),
    Column("remark", Sentence, nullable=False, default="", server_default=""),
    Index("ix_deliveries_proof", "destination", "proof"),
    Index("ix_deliveries_study", "study_instance_uid", "revision"),
    Index("ix_deliveries_outbox", "destination", "state", "priority", "created_at"),
)

outboxes = Table(
    "outboxes",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("failures", Integer, nullable=False, default=0),
    Column("reason", Sentence, nullable=False, default=""),
    Column("away_since", UtcDateTime),
    Column("next_try_at", UtcDateTime),
    Column("owner", String(128), nullable=False, default=""),
    Column("owned_until", UtcDateTime),
)

# What a destination was asked to prove: the objects are those whose delivery has its UID.
proof_requests = Table(
    "proof_requests",
    metadata,
    Column("transaction_uid", Uid, primary_key=True),
    Column("destination", String(64), nullable=False),
    Column("study_instance_uid", Uid, nullable=False),
    Column("method", String(32), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("asked_at", UtcDateTime),
    Column("next_try_at", UtcDateTime),
    Column("tries", Integer, nullable=False, default=0),
    Column("ended_at", UtcDateTime),
    Column("reason", Sentence, nullable=False, default=""),
    Index("ix_proof_requests_open", "destination", "ended_at"),
)

# What destinations do not take, learned when they refused it.
refusals = Table(
    "refusals",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("sop_class_uid", Uid, primary_key=True),
    Column("reason", Sentence, nullable=False),
    Column("learned_at", UtcDateTime, nullable=False),
)

# What peers have asked the node to commit to, until each has been told.
commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", Uid, primary_key=True),
    Column("calling_ae_title", String(16), primary_key=True),
    Column("instances", JSON, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("next_try_at", UtcDateTime),
    Column("tries", Integer, nullable=False, default=0),
    Column("reported_at", UtcDateTime),
    Column("given_up", Integer, nullable=False, default=0),
)

returned = Table(
    "returned",
    metadata,
    Column("sop_instance_uid", Uid, primary_key=True),
    Column("study_instance_uid", Uid, nullable=False, index=True),
    Column("calling_ae_title", String(16), nullable=False),
    Column("times", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

executors = Table(
    "executors",
    metadata,
    Column("executor_id", String(128), primary_key=True),
    Column("heartbeat_at", UtcDateTime, nullable=False),
)

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))


def _add_what_is_new(connection: Connection) -> None:
    """Create the tables, columns and indexes that are not there yet; nothing is ever removed."""
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        there = inspect(connection)
        columns = {column["name"] for column in there.get_columns(table.name)}
        name = connection.dialect.identifier_preparer.format_table(table)
        for column in table.columns:
            if column.name not in columns:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
        indexes = {index["name"] for index in there.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)


def _name_the_study_of_each_series(connection: Connection) -> None:
    """Give each series that is there to the study whose instance of it came first."""
    _add_what_is_new(connection)
    first = (
        select(func.min(instances.c.id).label("id"))
        .group_by(instances.c.series_instance_uid)
        .subquery()
    )
    owners = select(instances.c.series_instance_uid, instances.c.study_instance_uid).join(
        first, first.c.id == instances.c.id
    )
    connection.execute(
        series.insert().from_select(["series_instance_uid", "study_instance_uid"], owners)
    )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _add_what_is_new,
    _add_what_is_new,
    _name_the_study_of_each_series,
    _add_what_is_new,
    _add_what_is_new,
    _add_what_is_new,
)
"""Numbered from 1, only added to: 1 the first schema; 2 standing of instances, outboxes; 3 series;
4 proof of delivery; 5 reports and discordances; 6 forms and refusals.
"""

SCHEMA_VERSION = len(MIGRATIONS)

MIGRATION_LOCK = 0x77657472
"""Key of PostgreSQL's advisory lock, the same in every version."""

BUSY_TIMEOUT_MS = 30_000
"""So long SQLite waits for another connection's lock."""


def database_url(database: str, data_dir: Path) -> str:
    """SQLAlchemy URL of the configured database; ``sqlite`` is a file in the data directory."""
    return f"sqlite:///{data_dir / SQLITE_FILE}" if database == "sqlite" else database


def open_database(url: str) -> Engine:
    """Connect, and bring the schema to this version.

    SQLite: write-ahead log, ``synchronous=FULL`` (a committed row survives a power cut),
    30 s busy timeout, and every write transaction takes its lock when it begins.
    """
    # A pooled connection that a restart of the server has closed is replaced, not used.
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    _migrate(engine)
    return engine


def reading(engine: Engine) -> Engine:
    """Return the same database without transactions: a reader never waits for a writer."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with the same unique key is there; say whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**values).on_conflict_do_nothing()
    # Not rowcount: with PostgreSQL it is -1 where the database numbers the rows.
    return connection.execute(statement.returning(literal(1))).first() is not None


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: _begin_immediate does.
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    _log_ahead(connection)


def _log_ahead(connection: Any) -> None:
    """Switch to the write-ahead log, which all roles do at once at the first start of a node."""
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            # For this switch alone SQLite does not wait for another connection's.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that writes late fails at once when another wrote in between.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # All roles of all hosts start at once, and two cannot create the same table.
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        schema_version.create(connection, checkfirst=True)
        done = set(connection.scalars(select(schema_version.c.version)))
        for number, migration in enumerate(MIGRATIONS, start=1):
            if number not in done:
                migration(connection)
                connection.execute(schema_version.insert().values(version=number))
