"""The threads that work the outboxes off, and what mends them after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Thread

import structlog
from sqlalchemy.exc import OperationalError

from node.config.destination import Destination, DimseDestination
from node.work.commitments import Reporter
from node.work.means import LEASE_S, Means
from node.work.outbox import GIVEN_UP_AT_ONCE, Outbox
from node.work.proof import Prover

log = structlog.get_logger(__name__)

POLL_S = 2.0
"""What another process has put into an outbox is seen within this time."""
MEND_S = 30.0
STOP_WITHIN_S = 10.0


class Senders:
    """All outboxes of a work process.

    Each destination has `max_associations` threads and one for its proofs, and they all share
    one more; none is started or held because something waits.
    """

    def __init__(self, destinations: Mapping[str, Destination], means: Means) -> None:
        self.outboxes = {name: Outbox(name, each, means) for name, each in destinations.items()}
        self._means = means
        self._stop = Event()
        self._threads = [
            Thread(
                target=self._work,
                args=(outbox, number),
                name=f"deliver-{outbox.name}-{number}",
                daemon=True,
            )
            for outbox in self.outboxes.values()
            for number in range(outbox.destination.max_associations)
        ]
        self.provers = {name: Prover(name, each, means) for name, each in destinations.items()}
        self._threads += [
            Thread(
                target=self._prove,
                args=(name, destination),
                name=f"prove-{name}",
                daemon=True,
            )
            for name, destination in destinations.items()
        ]
        self._threads.append(Thread(target=self._tend, name="deliver-tend", daemon=True))

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the objects in hand be the last ones, and wait for them a little.

        An object whose answer takes longer is sent again by the next process.
        """
        self._stop.set()
        for outbox in self.outboxes.values():
            outbox.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_WITHIN_S / len(self._threads))

    def wake(self) -> None:
        """Say that something new waits; it is sent at once."""
        for outbox in self.outboxes.values():
            outbox.wake()

    def mend(self) -> None:
        """Give up what has waited too long, and end what a crash has left without an end."""
        for outbox in self.outboxes.values():
            outbox.give_up()
        rows, now = self._means.ledger.outbox, self._means.clock()
        for name in rows.waited_for(self.outboxes):
            reason = f"the configuration has no destination {name!r} any more"
            while found := rows.give_up(name, reason, now, before=None, limit=GIVEN_UP_AT_ONCE):
                for study_instance_uid, revision in found:
                    self._means.settlement.settle(study_instance_uid, revision)
        for study_instance_uid, revision in rows.unsettled(GIVEN_UP_AT_ONCE):
            self._means.settlement.settle(study_instance_uid, revision)

    def _work(self, outbox: Outbox, number: int) -> None:
        """Be one sender of a destination; the first one looks for news by itself."""
        news = 0
        while not self._stop.is_set():
            longest_s = POLL_S if number == 0 else None
            try:
                outbox.work_off()
                if number == 0 and (due_s := outbox.due_in_s()) is not None:
                    longest_s = min(POLL_S, max(due_s, 0.05))
            except OperationalError as error:
                log.warning("database.unreachable", error=type(error).__name__)
            except Exception:  # whatever it was, the next objects may get through
                log.exception("delivery.failed", destination=outbox.name)
            news = outbox.wait(news, longest_s)

    def _prove(self, name: str, destination: Destination) -> None:
        """Let a destination prove what it holds, and tell it what the node holds of it."""
        jobs = [self.provers[name].work_off]
        if isinstance(destination, DimseDestination):
            jobs.append(Reporter(destination, self._means.commitments, self._means).work_off)
        while not self._stop.wait(POLL_S):
            for job in jobs:
                try:
                    job()
                except OperationalError as error:
                    log.warning("database.unreachable", error=type(error).__name__)
                except Exception:  # whatever it was, the next study may be proven
                    log.exception("delivery.failed", destination=name)

    def _tend(self) -> None:
        since_mended = MEND_S
        while True:
            try:
                if since_mended >= MEND_S:
                    self.mend()
                    since_mended = 0.0
                for outbox in self.outboxes.values():
                    outbox.renew_lease()
            except Exception:  # a database that is away must not end this thread
                log.exception("delivery.failed")
            if self._stop.wait(LEASE_S / 4):
                return
            since_mended += LEASE_S / 4
