"""From the end of a study's quiet period to its plan, while many other studies still receive.

    python benchmarks/completion.py [--open 200] [--ended 100000] [--samples 120]

A running node on SQLite receives small CT images of `--open` studies at once, each often enough
to stay open. One after the other is left alone and replaced by a new one. Printed are the
seconds from ``last_received_at + quiet_period_s`` to the completion of its revision, and to the
moment its plan was recorded. No rule wants the images: a study that waits for a model of
another one waits for that model, not for the node.

The index has `--ended` studies from before. At the end the CPU time of the processes while
nothing is received is printed, too.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections import deque
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

import psutil
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table

from node.domain import StudyState, derived_uid
from node.store.database import studies
from node.store.index import StudyRow
from tests.builders import ct_series
from tests.builders.network import association, wait_until
from tests.builders.records import NOON
from tests.node.running import RunningNode

QUIET_PERIOD_S = 10.0
SEND_AGAIN_AFTER_S = 4.0
LEAVE_ONE_EVERY_S = 0.3
IDLE_S = 20.0
NOBODY_WANTS = {"name": "CT", "when": {"slices": {"min": 9999}}, "run": ["tiny-segment"]}


class Sender:
    """Keeps a number of studies open over one association."""

    def __init__(self, image: Dataset, number: int) -> None:
        self._image = image
        self._images = 0
        self._studies = 0
        self._due: deque[tuple[float, str]] = deque()
        for place in range(number):
            self._due.append((time.monotonic() + SEND_AGAIN_AFTER_S * place / number, self._new()))

    def _new(self) -> str:
        self._studies += 1
        return derived_uid("completion", str(self._studies), str(time.time_ns()))

    def next_image(self) -> Dataset:
        """Wait until a study needs an image again, and make it."""
        due, study = self._due.popleft()
        time.sleep(max(0.0, due - time.monotonic()))
        self._due.append((time.monotonic() + SEND_AGAIN_AFTER_S, study))
        self._images += 1
        image = copy.copy(self._image)
        image.file_meta = copy.copy(self._image.file_meta)
        image.StudyInstanceUID = study
        image.SeriesInstanceUID = derived_uid(study, "series")
        image.SOPInstanceUID = derived_uid(study, str(self._images))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        return image

    def leave_one(self) -> str:
        """Send no more of the study that has just got an image; begin another one instead."""
        _, study = self._due.pop()
        self._due.append((time.monotonic() + SEND_AGAIN_AFTER_S, self._new()))
        return study


def receive(node: RunningNode, open_studies: int, samples: int) -> list[str]:
    """Send until so many studies were left alone; return their UIDs."""
    left: list[str] = []
    image = ct_series(slices=1, seed="completion")[0]
    sender = Sender(image, open_studies)
    with association(node.port, [image]) as opened:
        began = time.monotonic()
        while len(left) < samples:
            status = opened.send_c_store(sender.next_image()).Status
            assert status == 0x0000
            warm = time.monotonic() - began - 2 * SEND_AGAIN_AFTER_S
            if warm > LEAVE_ONE_EVERY_S * len(left):
                left.append(sender.leave_one())
        # The others must stay open until the last one is planned.
        until = time.monotonic() + QUIET_PERIOD_S + 2
        while time.monotonic() < until:
            opened.send_c_store(sender.next_image())
    return left


def latencies(node: RunningNode, uid: str) -> tuple[float, float]:
    """Seconds from the end of the quiet period to completion and to the recorded plan."""
    study = node.stores.index.study(uid)
    revision = node.stores.index.revision(uid, 1)
    assert study is not None
    assert revision is not None
    plan = next(step for step in node.stores.ledger.steps(uid, 1) if step.step == "plan")
    due = study.last_received_at + timedelta(seconds=QUIET_PERIOD_S)
    return (
        (revision.complete_at - due).total_seconds(),
        (plan.finished_at - due).total_seconds(),
    )


def idle_cpu(node: RunningNode) -> dict[str, float]:
    """Per cent of one core that each role takes while nothing happens."""

    def open_studies() -> list[StudyRow]:
        rows = node.stores.index.list_studies(500)
        return [row for row in rows if row.state in (StudyState.RECEIVING, StudyState.QUEUED)]

    wait_until(lambda: not open_studies(), within_s=120, what="all studies ended")
    processes = {role: node.process(role) for role in ("receive", "work", "web", "supervisor")}
    before = {role: _cpu_s(process) for role, process in processes.items()}
    time.sleep(IDLE_S)
    return {
        role: 100 * (_cpu_s(process) - before[role]) / IDLE_S for role, process in processes.items()
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def fill(node: RunningNode, ended: int) -> None:
    """Enter studies that have ended long ago."""
    rows = [
        {
            "study_instance_uid": f"1.2.3.{number}",
            "state": StudyState.DONE.value,
            "revision": 1,
            "first_received_at": NOON + timedelta(minutes=number),
            "last_received_at": NOON + timedelta(minutes=number),
            "reason": "",
        }
        for number in range(ended)
    ]
    with node.stores.engine.begin() as connection:
        if rows:
            connection.execute(studies.insert(), rows)


def main() -> None:
    """Run the benchmark and print its tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--open", type=int, default=200, help="studies that receive")
    arguments.add_argument("--ended", type=int, default=100_000, help="studies of earlier days")
    arguments.add_argument("--samples", type=int, default=120, help="studies that fall quiet")
    options = arguments.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        node = RunningNode(
            Path(folder),
            pacs_port=104,
            rules=[{**NOBODY_WANTS, "send_to": ["pacs"]}],
            receive={"quiet_period_s": QUIET_PERIOD_S},
        )
        fill(node, options.ended)
        try:
            node.start()
            found = [latencies(node, uid) for uid in receive(node, options.open, options.samples)]
            idle = idle_cpu(node)
        finally:
            node.stop()
    title = f"{options.open} open studies, {options.ended} ended: seconds after the quiet period"
    table = Table("", "median", "p95", "max", title=title)
    for name, values in zip(("complete", "plan recorded"), zip(*found, strict=True), strict=True):
        p95 = quantiles(values, n=20)[-1]
        table.add_row(name, f"{median(values):.3f}", f"{p95:.3f}", f"{max(values):.3f}")
    console.print(table)
    cpu = Table("role", "% of a core", title="Idle")
    for role, percent in idle.items():
        cpu.add_row(role, f"{percent:.1f}")
    console.print(cpu)


if __name__ == "__main__":
    main()
