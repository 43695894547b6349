"""Scenarios that end processes by SIGKILL."""

from __future__ import annotations

import itertools
import random
import signal
import threading
from collections.abc import Callable, Iterator

import psutil

from tests.builders.network import wait_until
from tests.crash.invariants import Verdict, verify
from tests.crash.nursery import Process
from tests.crash.stage import Stage
from tests.crash.world import STOP_WITHIN_S, World

THROUGH_WITHIN_S = 120.0
MIXTURE = ("CT", "MR", "DX", "MR", "SR, PR, KO", "MR")
"""What is sent under load: half of it is for no model, so that the door has most of the work."""


def mixture(rng: random.Random) -> Iterator[str]:
    """Kinds of study without an end."""
    while True:
        yield rng.choice(MIXTURE)


def pause(seconds: float) -> None:
    """Let the node live for a while: the moment of the kill is left to chance."""
    threading.Event().wait(seconds)


def receiver_at_random(stage: Stage) -> Verdict:
    """The receiver, under four senders: mostly while it receives, now and then while it starts."""
    rng = stage.rng
    with stage.world() as world:
        world.start_all()
        world.send(mixture(rng), abandon=0.1)
        for _ in range(stage.kills):
            if rng.random() < 0.8:
                world.wait_for_door()
            pause(rng.uniform(0.0, 0.8))
            world.kill("receive")
            world.start("receive")
            stage.tick()
        return verify(world)


def worker_at_random(stage: Stage) -> Verdict:
    """The work process, while studies come; it needs time to get on, or it is always starting."""
    rng = stage.rng
    with stage.world() as world:
        world.start_all()
        world.send(mixture(rng), senders=2)
        for _ in range(stage.kills):
            pause(rng.uniform(0.2, 5.0))
            world.kill("work")
            world.start("work")
            stage.tick()
        return verify(world)


def everything_at_once(stage: Stage) -> Verdict:
    """All processes in the same moment, as when the power goes (the disk cache stays)."""
    rng = stage.rng
    with stage.world() as world:
        world.start_all()
        world.send(mixture(rng))
        for _ in range(stage.kills):
            pause(rng.uniform(0.2, 4.0))
            for role in tuple(world.roles):
                world.kill(role)
            world.kills -= len(world.roles) - 1
            world.start_all()
            stage.tick()
        return verify(world)


def supervised(stage: Stage) -> Verdict:
    """A supervisor and its children as `wetread run` starts them, any of them."""
    rng = stage.rng
    with stage.world(receivers=2) as world:
        world.node.start()
        world.send(mixture(rng), senders=2)
        for _ in range(stage.kills):
            pause(rng.uniform(0.2, 3.0))
            if rng.random() < 0.3:
                _kill_supervisor(world)
                world.node.start()
            else:
                rng.choice(_children(world)).kill()
            world.kills += 1
            stage.tick()
        world.enough()
        _kill_supervisor(world)
        return verify(world)


def _children(world: World) -> list[psutil.Process]:
    """The roles that run now, at least one."""
    supervisor = world.node.process("supervisor")
    wait_until(supervisor.children, within_s=40, what="a role")
    return supervisor.children() or _children(world)


def _kill_supervisor(world: World) -> None:
    """Its children end by themselves, or the port stays taken."""
    supervisor = world.node.process("supervisor")
    children = [Process(child.pid) for child in supervisor.children(recursive=True)]
    supervisor.kill()
    supervisor.wait(10)
    for child in children:
        if not child.wait(STOP_WITHIN_S):
            world.violations.append("a role outlives its killed supervisor")
            child.kill()


def each_step(role: str) -> Callable[[Stage], Verdict]:
    """Make a scenario that kills a role at every durable step of one small study."""

    def play(stage: Stage) -> Verdict:
        with stage.world(quiet_period_s=0.3) as world:
            world.start_all()
            total = _count_calls(world, role)
            steps = _steps(stage, total)
            # Threads do not make the same calls each time: some of the last never come.
            again = (stage.rng.choice(steps) for _ in steps)
            for step in itertools.chain(steps, again):
                if world.kills == min(stage.kills, len(steps)):
                    break
                if one_step(world, role, step):
                    stage.tick()
            return verify(world)

    return play


def _steps(stage: Stage, total: int) -> list[tuple[str, int]]:
    """All calls, before and after, or as many of them as are asked for, left to chance."""
    every = list(itertools.product(("before:any", "after:any"), range(1, total + 1)))
    chosen = every if len(every) <= stage.kills else stage.rng.sample(every, stage.kills)
    return sorted(chosen, key=lambda step: step[1])


def _count_calls(world: World, role: str) -> int:
    """How many calls the role makes from its start until a study has settled, and to its end."""
    one_step(world, role, ("before:any", 0))
    log = world.node.log_file.read_text()
    return int(log.rpartition("calls ")[2].split()[0])


def one_step(world: World, role: str, trap: tuple[str, int]) -> bool:
    """Send one study to a node whose role dies at a step, start the role again, and wait.

    Returns
    -------
    bool
        Whether it came so far.
    """
    _end(world, role)
    armed = world.start(role, trap=trap)
    study, job = world.send_one("CT")

    def through() -> bool:
        if role == "work":
            return world.settled(study)
        # The index hears of it behind the answer, and those steps count, too.
        return not job.is_alive() and world.indexed(study)

    wait_until(lambda: armed.ended or through(), within_s=THROUGH_WITHIN_S, what=f"{role} {trap}")
    came_so_far = armed.ended
    world.kills += came_so_far
    if not came_so_far:
        _end(world, role)
    world.start(role)
    wait_until(through, within_s=THROUGH_WITHIN_S, what=f"{role} after {trap}")
    return came_so_far


def _end(world: World, role: str) -> None:
    process = world.roles[role]
    process.signal(signal.SIGTERM)
    if not process.wait(STOP_WITHIN_S):
        world.violations.append(f"{role} does not end on SIGTERM")
        process.kill()
