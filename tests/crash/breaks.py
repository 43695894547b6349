"""Scenarios that break what the node stands on: database, disk, network, clock."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.builders.disk import small_disks
from tests.builders.network import wait_until
from tests.crash.invariants import Verdict, verify
from tests.crash.jobs import Job
from tests.crash.kills import mixture, pause
from tests.crash.stage import Stage, Unavailable
from tests.crash.world import World

LONGER_THAN_THE_BUSY_TIMEOUT_S = 33.0
OUT_OF_RESOURCES = 0xA700
REFUSED_WITHIN_S = 30.0
DISK_BYTES = 256 * 1024 * 1024


def database_locked(stage: Stage) -> Verdict:
    """Another process holds SQLite's write lock: now and then, and once beyond every timeout."""
    rng = stage.rng
    with stage.world() as world:
        world.start_all()
        world.send(mixture(rng))
        file = world.node.stores.files.data_dir / "wetread.sqlite"
        for number in range(stage.kills):
            long = number == stage.kills // 2 and stage.kills > 1
            pause(rng.uniform(0.5, 2.0))
            with closing(sqlite3.connect(file, timeout=60)) as other:
                other.execute("BEGIN EXCLUSIVE")
                pause(LONGER_THAN_THE_BUSY_TIMEOUT_S if long else rng.uniform(0.1, 3.0))
                other.rollback()
            world.kills += 1
            world.tend()
            stage.tick()
        return verify(world)


def database_gone(stage: Stage) -> Verdict:
    """PostgreSQL drops every connection, and is restarted now and then."""
    import psycopg

    from tests.postgres.server import missing, running_server

    if reason := missing():
        raise Unavailable(reason)
    rng = stage.rng
    with running_server() as server:
        url = server.new_database()
        with stage.world(database=url) as world:
            world.start_all()
            world.send(mixture(rng))
            for number in range(stage.kills):
                pause(rng.uniform(0.3, 2.0))
                if number % 3 == 2:
                    server.restart()
                else:
                    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
                        admin.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE pid <> pg_backend_pid() AND usename = current_user"
                        )
                world.kills += 1
                world.tend()
                stage.tick()
            return verify(world)


def disk_full(stage: Stage) -> Verdict:
    """The disk is filled to the last byte under load, and freed."""
    rng = stage.rng
    stage.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            data = stack.enter_context(small_disks(stage.folder))(f"size={DISK_BYTES}")
        except pytest.skip.Exception as reason:
            raise Unavailable(str(reason)) from reason
        world = stack.enter_context(stage.world(data_dir=str(data)))
        world.start_all()
        world.send(mixture(rng))
        filler = data / "filler"
        for _ in range(stage.kills):
            pause(rng.uniform(0.5, 2.0))
            _fill(filler)
            _send_until_refused(world)
            pause(rng.uniform(0.1, 3.0))
            filler.unlink()
            world.kills += 1
            world.tend()
            stage.tick()
        return verify(world)


def _send_until_refused(world: World) -> None:
    """Send study after study: the journal may have room for some, and those are safe there."""
    before = world.receipts.statuses[OUT_OF_RESOURCES]
    jobs: list[Job] = []

    def is_refused() -> bool:
        if not any(job.is_alive() for job in jobs):
            jobs.append(world.send_one("MR")[1])
        return world.receipts.statuses[OUT_OF_RESOURCES] > before

    wait_until(
        is_refused,
        within_s=REFUSED_WITHIN_S,
        what="a C-STORE refused with 0xA700 on a full disk",
    )


def _fill(filler: Path) -> None:
    """Write until there is no space, down to single bytes."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    os.write(descriptor, b"x" * size)
            except OSError:
                continue
    finally:
        os.close(descriptor)


def network_broken(stage: Stage) -> Verdict:
    """Senders leave in the middle of an object; destinations reset in the middle of an answer."""
    rng = stage.rng
    with stage.world(breaks=0.4) as world:
        world.start_all()
        world.send(mixture(rng), break_off=0.1)
        while _broken(world) < stage.kills:
            before = _broken(world)
            pause(0.2)
            for _ in range(_broken(world) - before):
                stage.tick()
        world.enough()
        for proxy in world.proxies.values():
            proxy.breaks = 0.0
        world.kills = _broken(world)
        return verify(world)


def _broken(world: World) -> int:
    return sum(p.broken for p in world.proxies.values()) + world.receipts.broken_off


def clock_moved(stage: Stage) -> Verdict:
    """The clock jumps forward and back by up to an hour, and stands still.

    It is injected into the roles' processes (`tests.crash.launch.inject_clock`): the clock of
    the machine is not ours to move.
    """
    rng = stage.rng
    stage.folder.mkdir(parents=True, exist_ok=True)
    clock = stage.folder / "clock"
    clock.write_text("0")
    with stage.world() as world:
        world.start_all()
        world.send(mixture(rng))
        for _ in range(stage.kills):
            _set(clock, _moved(rng))
            pause(rng.uniform(0.5, 3.0))
            world.kills += 1
            stage.tick()
        _set(clock, "0")
        return verify(world)


def _moved(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"stop {time.time()}"
    return f"{rng.choice([-1, 1]) * rng.choice([0.5, 5, 60, 3600]):g}"


def _set(clock: Path, content: str) -> None:
    new = clock.with_suffix(".new")
    new.write_text(content)
    new.replace(clock)
