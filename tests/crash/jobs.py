"""Senders that behave like the jobs of a PACS: what is not acknowledged is sent again."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from tests.crash.objects import Sent, Study
from tests.crash.wire import Association

SUCCESS = 0x0000
TRY_AGAIN = {0xA700, 0x0110}
"""Out of resources, and processing failure: a PACS keeps its job for these."""
PAUSE_S = 0.05


@dataclass
class Receipts:
    """What the node has acknowledged, and what it said else. Safe to use from many threads."""

    acknowledged: dict[str, Sent] = field(default_factory=dict)
    studies: dict[str, Study] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """When (monotonic) each response came, and how many seconds after the request."""
    finished: dict[str, float] = field(default_factory=dict)
    """Study → when its last response came (monotonic)."""
    unexpected: list[str] = field(default_factory=list)
    broken_off: int = 0
    """How often a sender has left in the middle of an object."""


class Job(threading.Thread):
    """One sender: study after study, each until its last object is acknowledged.

    Parameters
    ----------
    next_study
        Gives the next one, or None when there is nothing more to send.
    break_off
        How often, from 0 to 1, the sender leaves in the middle of an object.
    abandon
        How often, from 0 to 1, an object whose response did not come is never sent again, as
        when somebody cancels the job: the node may have it, or not, but no remains of it.
    """

    def __init__(
        self,
        port: int,
        next_study: Callable[[], Study | None],
        receipts: Receipts,
        seed: str,
        *,
        break_off: float = 0.0,
        abandon: float = 0.0,
        give_up_after_s: float = 300.0,
    ) -> None:
        super().__init__(daemon=True, name=f"job {seed}")
        self._port = port
        self._next_study = next_study
        self._receipts = receipts
        self._rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._break_off = break_off
        self._abandon = abandon
        self._give_up_after_s = give_up_after_s
        self._leave = threading.Event()

    def run(self) -> None:
        """Send until there is nothing more."""
        while (study := self._next_study()) is not None:
            self._receipts.studies[study.uid] = study
            deadline = monotonic() + self._give_up_after_s
            waiting = list(study.objects)
            while waiting:
                if self._leave.is_set():
                    return
                if monotonic() > deadline:
                    self._receipts.unexpected.append(
                        f"study {study.uid}: {len(waiting)} objects not taken for "
                        f"{self._give_up_after_s:g} s"
                    )
                    return
                try:
                    self._send(waiting)
                except OSError as error:
                    self._receipts.broken[type(error).__name__] += 1
                    if self._rng.random() < self._abandon:
                        del waiting[0]
                    self._leave.wait(PAUSE_S)
            self._receipts.finished[study.uid] = monotonic()

    def stop(self) -> None:
        """Give up what is not sent."""
        self._leave.set()

    def _send(self, waiting: list[Sent]) -> None:
        """Send over one association until it breaks or nothing waits; take off what is there."""
        with Association(self._port, waiting) as association:
            while waiting and not self._leave.is_set():
                sent = waiting[0]
                if self._rng.random() < self._break_off:
                    length = self._rng.randrange(1, len(sent.data_set) + 150)
                    association.break_off(sent, length, reset=self._rng.random() < 0.5)
                    self._receipts.broken_off += 1
                    return
                began = monotonic()
                status = association.store(sent)
                self._receipts.latencies.append((monotonic(), monotonic() - began))
                self._receipts.statuses[status] += 1
                if status == SUCCESS:
                    self._receipts.acknowledged[sent.sop_instance_uid] = sent
                    del waiting[0]
                    continue
                if status not in TRY_AGAIN:
                    self._receipts.unexpected.append(
                        f"{sent.sop_instance_uid} was answered 0x{status:04X}"
                    )
                self._leave.wait(PAUSE_S)
