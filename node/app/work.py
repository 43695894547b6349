"""The role work: from the complete study to the results at their destinations."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from threading import Event
from typing import NoReturn

import structlog

from engines.errors import EngineError
from engines.pool import Pool
from node.app import WORK
from node.app.ready import Progress, make_ready
from node.app.report_desk import open_report_desk
from node.app.stopping import wait_for
from node.app.stores import open_stores, utc_now
from node.config.model import Config
from node.encode.warm import warm_up
from node.errors import ConfigError
from node.store.files import RESULTS
from node.store.lane import LANE, LaneInfo, write_lane
from node.store.lock import only_one
from node.work.schedule import Schedule
from node.work.senders import Senders
from node.work.steps import Equipment, Steps
from node.work.workflow import Flow, this_executor

log = structlog.get_logger(__name__)


def run_work(config: Config, stop: Event) -> None:
    """Plan, infer, encode and deliver until `stop` is set."""
    stores = open_stores(config)
    pool = _open_pool(config)
    lane = LaneInfo(pool.backend, pool.notes)
    progress = Progress(
        lambda words: write_lane(stores.files, replace(lane, building=words)), stop, time.monotonic
    )
    warm_up()
    equipment = Equipment(
        config,
        stores.files,
        stores.index,
        stores.ledger,
        stores.commitments,
        stores.acceptance,
        pool,
        utc_now,
    )
    with only_one(config.data_dir, WORK, stop):
        for top in (RESULTS, LANE):
            stores.files.sweep(top)
        write_lane(stores.files, lane)
        make_ready(pool, _wanted(config, pool), progress)
        executor_id = this_executor()
        senders = Senders(config.destinations, equipment.means(executor_id, random.random))
        steps = Steps(equipment, senders.wake, _end_process)
        flow = Flow(steps, stores.database_url, executor_id, config.work.studies_at_once)
        quiet_period_s = config.receive.quiet_period_s
        schedule = Schedule(stores.index, stores.ledger, flow, quiet_period_s, utc_now)
        desk = open_report_desk(config, stores, pool.catalogue, senders.wake)
        flow.launch()
        schedule.start()
        senders.start()
        if desk is not None:
            desk.start()
        log.info("work.started", executor_id=flow.executor_id)
        wait_for(stop)
        if desk is not None:
            desk.stop()
        schedule.stop()
        senders.stop()
        flow.stop()
    pool.close()


def _end_process(reason: str) -> NoReturn:
    """End now: a broken device context can keep an orderly end waiting for ever.

    Everything in hand is durable; the supervisor starts the next process, which goes on.
    """
    log.error("device.lost", reason=reason)
    os._exit(os.EX_TEMPFAIL)


def _open_pool(config: Config) -> Pool:
    """Open the first backend that can run here, on the packages there are."""
    try:
        pool = Pool(
            config.models_dir,
            backend=config.work.backend,
            threads=config.work.threads,
            memory_mb=config.work.memory_mb,
            lanes=config.work.lanes,
        )
    except EngineError as error:
        raise ConfigError(f"models_dir or work.backend: {error}") from error
    log.info("backend.chosen", backend=pool.backend)
    for note in pool.notes:
        log.warning("backend.passed_over", reason=note)
    for folder, problem in pool.catalogue.errors.items():
        log.error("package.broken", folder=folder, reason=str(problem))
    return pool


def _wanted(config: Config, pool: Pool) -> list[str]:
    """Name the packages that rules want, and those that these ask.

    Those that are not there are logged and left out.
    """
    usable = {package.name for package in pool.catalogue.packages}
    wanted = {model for rule in config.rules for model in rule.run}
    for name in sorted(wanted - usable):
        log.error("package.missing", model=name)
    return pool.catalogue.with_others(wanted & usable)
