"""The composition root: which parts make a role.

    receive    StorageScp → Keeper → Files, Index
    work       Schedule → Flow (DBOS) → Steps → Pool, encoders, C-STORE
    web        status page over Index and Ledger

The roles are processes of their own (`node.cli.supervise`) and share nothing but the data
directory and the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from engines.errors import EngineError
from engines.pool import Pool
from node.config.model import Config
from node.encode.warm import warm_up
from node.errors import ConfigError
from node.receive.keep import Keeper
from node.receive.scp import StorageScp
from node.store.database import database_url, open_database
from node.store.files import INSTANCES, RESULTS, Files
from node.store.index import Index
from node.store.ledger import Ledger
from node.store.lock import only_one
from node.web.app import serve
from node.work.schedule import Schedule
from node.work.steps import Equipment, Steps
from node.work.workflow import Flow

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The clock of a running node."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Stores:
    """What all roles share."""

    files: Files
    index: Index
    ledger: Ledger
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
    return Stores(files, Index(engine), Ledger(engine), engine, url)


def run_receive(config: Config, stop: Event) -> None:
    """Be the storage SCP until `stop` is set."""
    stores = open_stores(config)
    with only_one(config.data_dir, "receive", stop):
        if orphans := stores.files.sweep(INSTANCES):
            log.info("parts.swept", count=orphans)
        keeper = Keeper(stores.files, stores.index, stores.ledger, utc_now)
        scp = StorageScp(config.receive, keeper)
        scp.start()
        stop.wait()
        scp.stop()


def run_work(config: Config, stop: Event) -> None:
    """Plan, infer, encode and deliver until `stop` is set."""
    stores = open_stores(config)
    pool = _open_pool(config)
    warm_up()
    equipment = Equipment(config, stores.files, stores.index, stores.ledger, pool, utc_now)
    with only_one(config.data_dir, "work", stop):
        stores.files.sweep(RESULTS)
        flow = Flow(Steps(equipment), stores.database_url, config.work.studies_at_once)
        quiet_period_s = config.receive.quiet_period_s
        schedule = Schedule(stores.index, stores.ledger, flow, quiet_period_s, utc_now)
        flow.launch()
        schedule.start()
        log.info("work.started", executor_id=flow.executor_id)
        stop.wait()
        schedule.stop()
        flow.stop()
    pool.close()


def _open_pool(config: Config) -> Pool:
    """Load the packages that rules name; a bad one is logged and does not stop the others."""
    try:
        pool = Pool(config.models_dir, backend=config.work.backend, threads=config.work.threads)
    except EngineError as error:
        raise ConfigError(f"models_dir or work.backend: {error}") from error
    for folder, problem in pool.catalogue.errors.items():
        log.error("package.broken", folder=folder, reason=str(problem))
    usable = {package.name for package in pool.catalogue.packages}
    wanted = {model for rule in config.rules for model in rule.run}
    for name in sorted(wanted - usable):
        log.error("package.missing", model=name)
    for name in sorted(wanted & usable):
        try:
            pool.preload([name])
        except EngineError as error:
            log.error("package.not_loaded", model=name, reason=str(error))  # noqa: TRY400
    return pool


def run_web(config: Config, stop: Event) -> None:
    """Serve the status page until `stop` is set."""
    stores = open_stores(config)
    serve(config.web, stores.index, stores.ledger, stop)


ROLES: dict[str, Callable[[Config, Event], None]] = {
    "receive": run_receive,
    "work": run_work,
    "web": run_web,
}
