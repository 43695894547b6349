"""A node under steady load: nothing lost, everything at an end, constant memory.

    python -m benchmarks.soak [--minutes 10] [--senders 8] [--studies 200] [--chart soak.png]

Senders store mixed studies as fast as the node gets through them, for so long and at least so
many. Results go to two storage SCPs. Prints what was measured, draws a chart, and ends with 1
if an invariant of the crash tests does not hold or memory has grown.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.soak_chart import Panel, draw
from tests.crash.invariants import Verdict, verify
from tests.crash.nursery import Nursery
from tests.crash.objects import KINDS
from tests.crash.world import World

MOST_GROWTH = 0.05
"""Of resident memory over the second half of a run, by a straight line through it."""
SHORTEST_MINUTES_TO_JUDGE_MEMORY = 5.0
"""A process fills its caches in the first minutes; before this the growth says nothing."""
BUCKET_S = 10.0


class Sampler(threading.Thread):
    """Notes resident memory (MB) and CPU time (s) of each process of a node every second."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.memory: dict[str, list[tuple[float, float]]] = {}
        self.cpu_s: dict[str, float] = {}
        self._supervisor = world.node.process("supervisor")
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until `stop`."""
        while not self._over.wait(1.0):
            processes = [self._supervisor, *self._supervisor.children(recursive=True)]
            for process in processes:
                try:
                    name = _role(process)
                    self.memory.setdefault(name, []).append(
                        (time.monotonic(), process.memory_info().rss / 1e6)
                    )
                    used = process.cpu_times()
                    self.cpu_s[name] = used.user + used.system
                except psutil.NoSuchProcess:
                    continue

    def stop(self) -> None:
        """End sampling."""
        self._over.set()
        self.join()


def _role(process: psutil.Process) -> str:
    arguments = process.cmdline()
    if "--role" not in arguments:
        return "supervisor"
    slot = f" {arguments[arguments.index('--slot') + 1]}" if "--slot" in arguments else ""
    return f"{arguments[arguments.index('--role') + 1]}{slot} ({process.pid})"


def mixture(seed: str, studies: int, until: float) -> Iterator[str]:
    """Kinds of study: each kind in turn, shuffled; at least so many, and until a moment."""
    rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
    for number in itertools.count():
        if number >= studies and time.monotonic() > until:
            return
        if number % len(KINDS) == 0:
            kinds = rng.sample(list(KINDS), len(KINDS))
        yield kinds[number % len(KINDS)]


def growth(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope (MB a minute) of the second half, and its part of the mean over that half."""
    half = np.array(samples[len(samples) // 2 :])
    slope = float(np.polyfit(half[:, 0], half[:, 1], 1)[0])
    return slope * 60, slope * float(half[-1, 0] - half[0, 0]) / float(half[:, 1].mean())


def load(world: World, arguments: argparse.Namespace, console: Console) -> Sampler:
    """Put the load on the node and wait for its end."""
    world.node.start()
    sampler = Sampler(world)
    sampler.start()
    until = time.monotonic() + 60 * arguments.minutes
    # A late slice of a slow sender must not look like an early end of its study.
    world.send(mixture(arguments.seed, arguments.studies, until), arguments.senders)
    while any(job.is_alive() for job in world.jobs):
        threading.Event().wait(BUCKET_S)
        receipts = world.receipts
        console.print(
            f"{len(receipts.finished):5} studies, {len(receipts.acknowledged):6} instances, "
            f"{len(world.open_studies())} open",
            highlight=False,
        )
    sampler.stop()
    return sampler


def memory_table(sampler: Sampler) -> tuple[Table, list[str]]:
    """Memory and CPU of each process, and the sentences for those that have grown."""
    table = Table("process", "MB at the end", "most MB", "MB/min", "growth of 2nd half", "CPU s")
    grown = []
    for name, samples in sampler.memory.items():
        if len(samples) < 10:
            continue
        slope, part = growth(samples)
        values = [value for _, value in samples]
        table.add_row(
            name,
            f"{values[-1]:.0f}",
            f"{max(values):.0f}",
            f"{slope:+.2f}",
            f"{part:+.1%}",
            f"{sampler.cpu_s[name]:.0f}",
        )
        if part > MOST_GROWTH:
            grown.append(f"{name} has grown by {part:.1%} in the second half ({slope:.2f} MB/min)")
    return table, grown


def latency_table(world: World, began: float) -> Table:
    """C-STORE latency minute by minute, and from the last image to the last result."""
    table = Table("minute", "instances", "p50 ms", "p95 ms", "p99 ms", "most ms")
    for minute, values in _buckets(world.receipts.latencies, began, 60.0).items():
        marks = np.percentile(values, (50, 95, 99, 100)) * 1000
        table.add_row(str(minute + 1), str(len(values)), *(f"{mark:.1f}" for mark in marks))
    return table


def end_to_end(world: World) -> str:
    """Percentiles of the time from the last response to the last result at every destination."""
    seconds = [
        max(archive.last_arrival[uid] for archive in world.archives.values()) - finished
        for uid, finished in world.receipts.finished.items()
        if all(uid in archive.last_arrival for archive in world.archives.values())
    ]
    marks = np.percentile(seconds, (50, 95, 100)) if seconds else (0.0, 0.0, 0.0)
    return (
        f"last image to last result, quiet period included, {len(seconds)} studies: "
        + "p50 {:.1f} s, p95 {:.1f} s, most {:.1f} s".format(*marks)
    )


def _buckets(
    samples: Sequence[tuple[float, float]], began: float, length_s: float
) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for moment, value in samples:
        found.setdefault(int((moment - began) // length_s), []).append(value)
    return dict(sorted(found.items()))


def panels(world: World, sampler: Sampler, began: float) -> list[Panel]:
    """What the chart shows, over the minutes since the beginning."""
    buckets = _buckets(world.receipts.latencies, began, BUCKET_S)
    minutes = [(bucket + 0.5) * BUCKET_S / 60 for bucket in buckets]
    rate = [len(values) / BUCKET_S for values in buckets.values()]
    percentiles = {
        f"p{mark}": [float(np.percentile(v, mark)) * 1000 for v in buckets.values()]
        for mark in (50, 95, 99)
    }
    memory = {
        name: [((moment - began) / 60, value) for moment, value in samples]
        for name, samples in sampler.memory.items()
    }
    return [
        Panel("resident memory, MB", memory),
        Panel("instances a second", {"stored": list(zip(minutes, rate, strict=True))}),
        Panel(
            "C-STORE latency, ms",
            {name: list(zip(minutes, v, strict=True)) for name, v in percentiles.items()},
        ),
    ]


def main() -> int:
    """Run the soak; 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--studies", type=int, default=200, help="at least so many")
    parser.add_argument("--chart", type=Path, default=Path("soak.png"))
    parser.add_argument("--seed", default="soak")
    arguments = parser.parse_args()
    console = Console()
    nursery = Nursery()
    try:
        with tempfile.TemporaryDirectory(prefix="wetread-soak-") as folder:
            with World(Path(folder) / "node", nursery, arguments.seed, quiet_period_s=5) as world:
                began = time.monotonic()
                sampler = load(world, arguments, console)
                world.node.stop()
                verdict = verify(world)
            return _report(console, world, sampler, verdict, arguments, began)
    finally:
        nursery.close()


def _report(
    console: Console,
    world: World,
    sampler: Sampler,
    verdict: Verdict,
    arguments: argparse.Namespace,
    began: float,
) -> int:
    memory, grown = memory_table(sampler)
    console.print(memory, latency_table(world, began), end_to_end(world))
    draw(panels(world, sampler, began), arguments.chart)
    judged = grown if arguments.minutes >= SHORTEST_MINUTES_TO_JUDGE_MEMORY else []
    bad = [*verdict.violations, *judged]
    console.print(
        f"{len(world.receipts.finished)} studies, {verdict.acknowledged} instances, "
        f"{sum(a.requests for a in world.archives.values())} results; "
        f"lost {len(verdict.lost)}, duplicated {len(verdict.duplicated)}, "
        f"unsettled {len(verdict.unsettled)}; chart: {arguments.chart}"
    )
    for sentence in bad:
        console.print(f"[red]{sentence}", highlight=False)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
