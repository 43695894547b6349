"""One destination: its queue, its circuit breaker, and what is done with each answer.

What waits is in the ledger and nowhere else, so a process that is killed at any line loses
nothing: an object whose answer was not recorded is sent again, the same to the byte.

Who is at fault when an object does not get through? A destination that cannot be reached,
or rejects the association, is away, and the object is not touched. Where it breaks off,
says nothing, or has no room in the middle of an object, that may be the object's fault or
the destination's: the object goes behind, with a wait of its own, and the next one decides.
If that does not get through either, the destination is away.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime, timedelta
from threading import Condition, Lock

import structlog
from pydicom.uid import ExplicitVRLittleEndian

from node.config.destination import Destination
from node.deliver.kinds import Link, open_link
from node.deliver.negotiation import Key
from node.deliver.objects import read_file
from node.deliver.retry import Gate, gate, given_up_before, wait_s
from node.domain import DeliveryState, Outcome
from node.errors import Away, PermanentError, StepError, TransientError
from node.metrics import OBJECTS_SENT
from node.store.delivery import DeliveryRow
from node.store.ledger import StepRow
from node.store.outbox import OutboxRow, Revision
from node.work.clock import finish_step
from node.work.means import LEASE_S, Means
from node.work.settle import DELIVER

log = structlog.get_logger(__name__)

PAGE = 16
"""Objects read ahead. What is more urgent and comes later waits for no more than these."""
GIVEN_UP_AT_ONCE = 500


class Outbox:
    """What waits for one destination. Several threads may work it off at the same time."""

    def __init__(self, name: str, destination: Destination, means: Means) -> None:
        self.name = name
        self.destination = destination
        self._means = means
        self._rows = means.ledger.outbox
        self._rows.open([name])
        self._lock = Lock()
        self._page: deque[DeliveryRow] = deque()
        self._keys: list[Key] = []
        self._in_hand: set[str] = set()
        self._row = OutboxRow(name)
        self._trial: str | None = None
        self._suspect: str | None = None
        self._leased_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._stopped = False
        self._news = Condition()
        self._news_count = 0

    def work_off(self) -> None:
        """Send what is due, in order, over one association, until nothing is.

        The association is used again from study to study. Returns at once if the
        destination is away and its wait is not over, or if another host sends to it.
        """
        link = open_link(self.destination, self._means.calling_ae_title)
        seconds: dict[Revision, float] = {}
        try:
            while (row := self._next()) is not None:
                try:
                    self._send_in_turn(row, link, seconds)
                finally:
                    self._put_down(row)
            self._finish(seconds)
        finally:
            link.close()

    def give_up(self) -> None:
        """Fail what had waited for `retry.give_up_after_h` when a try was last in vain.

        What is too old because the node was off, or its clock jumped, is tried first.
        """
        retry, now = self.destination.retry, self._means.clock()
        if self._failed_at is None:
            return
        reason = f"gave up after {retry.give_up_after_h:g} h"
        before = given_up_before(retry, min(now, self._failed_at))
        while found := self._rows.give_up(
            self.name, reason, now, before=before, limit=GIVEN_UP_AT_ONCE
        ):
            for study_instance_uid, revision in found:
                self._means.settlement.settle(study_instance_uid, revision)

    def renew_lease(self) -> None:
        """Keep the other hosts away while an object is in hand, however long it takes."""
        with self._lock:
            if self._in_hand:
                self._lease(self._means.clock(), renew_after_s=0)

    def wake(self) -> None:
        """Say that something new waits, or may be tried now."""
        with self._lock:
            # Read again: what is new may be more urgent.
            self._page.clear()
        self._notify()

    def wait(self, news: int, longest_s: float | None) -> int:
        """Wait until there are more news than these; return how many there are.

        Parameters
        ----------
        longest_s
            Seconds; None: for ever.
        """
        with self._news:
            self._news.wait_for(lambda: self._stopped or self._news_count != news, longest_s)
            return self._news_count

    def stop(self) -> None:
        """Let the objects in hand be the last ones."""
        self._stopped = True
        self._notify()

    def due_in_s(self) -> float | None:
        """Seconds until the destination may be tried again; None if it is not away."""
        with self._lock:
            if not self._row.failures or self._row.next_try_at is None:
                return None
            return max((self._row.next_try_at - self._means.clock()).total_seconds(), 0.0)

    def _send_in_turn(self, row: DeliveryRow, link: Link, seconds: dict[Revision, float]) -> None:
        """Send one object; the first one of another revision ends those before it."""
        revision = (row.study_instance_uid, row.revision)
        if revision not in seconds:
            self._finish(seconds)
        began = time.perf_counter()
        self._send(row, link)
        seconds[revision] = seconds.get(revision, 0.0) + time.perf_counter() - began

    def _next(self) -> DeliveryRow | None:
        """Take the next object in hand."""
        with self._lock:
            if self._stopped or self._trial is not None:
                return None
            if not self._page:
                self._read_page()
            if not self._page:
                return None
            row = self._page.popleft()
            self._in_hand.add(row.sop_instance_uid)
            if self._row.failures:
                self._trial = row.sop_instance_uid
            more = bool(self._page)
        if more:
            self._notify()
        return row

    def _read_page(self) -> None:
        now, retry = self._means.clock(), self.destination.retry
        self._row = self._rows.row(self.name)
        found: list[DeliveryRow] = []
        match gate(self._row.failures, self._row.next_try_at, now, retry):
            case Gate.OPEN:
                limit = PAGE + len(self._in_hand)
                found = self._rows.due(self.name, now, retry.longest_s, limit)
            case Gate.TRIAL:
                # What it has refused before says little about whether it is back.
                found = self._rows.due(
                    self.name, now, retry.longest_s, 1, fresh_only=True
                ) or self._rows.due(self.name, now, retry.longest_s, 1)
        found = [row for row in found if row.sop_instance_uid not in self._in_hand]
        if found and self._lease(now, renew_after_s=LEASE_S / 2):
            self._page.extend(found)
            # One association for all of them: the node writes nothing in another syntax.
            self._keys = [(row.sop_class_uid, str(ExplicitVRLittleEndian)) for row in found]

    def _lease(self, now: datetime, renew_after_s: float) -> bool:
        leased = self._leased_at
        if leased is not None and leased <= now < leased + timedelta(seconds=renew_after_s):
            return True
        taken = self._rows.take_lease(self.name, self._means.owner, now, LEASE_S)
        self._leased_at = now if taken else None
        return taken

    def _put_down(self, row: DeliveryRow) -> None:
        with self._lock:
            self._in_hand.discard(row.sop_instance_uid)
            if self._trial == row.sop_instance_uid:
                self._trial = None

    def _send(self, row: DeliveryRow, link: Link) -> None:
        link.expect(self._keys)
        try:
            outcome = link.store(read_file(self._means.files.path(row.path)))
        except Away as error:
            log.warning("delivery.interrupted", destination=self.name, reason=str(error))
            self._went_away(str(error))
            return
        except PermanentError as error:
            outcome = Outcome(DeliveryState.FAILED, None, str(error))
        except (TransientError, OSError) as error:
            log.warning("delivery.interrupted", destination=self.name, reason=str(error))
            outcome = Outcome(DeliveryState.WAITING, None, str(error))
        except Exception as error:  # an object that breaks the sender must not stop the others
            log.exception("delivery.failed", sop_instance_uid=row.sop_instance_uid)
            reason = f"internal error: {type(error).__name__}"
            outcome = Outcome(DeliveryState.FAILED, None, reason)
        self._record(row, outcome)

    def _record(self, row: DeliveryRow, outcome: Outcome) -> None:
        """Record one try, and draw the conclusions about the destination."""
        if outcome.not_taken and self._replaced(row, outcome.reason):
            self._answered(row)
            self.wake()
            return
        now, next_try_at = self._means.clock(), None
        if outcome.state is DeliveryState.WAITING:
            self._failed_at = now
            next_try_at = now + self._wait(row.attempts + 1)
        self._means.ledger.record_outcome(
            row.sop_instance_uid,
            self.name,
            outcome,
            now,
            next_try_at,
            prove=self.destination.proof != "none",
        )
        OBJECTS_SENT.labels(destination=self.name, outcome=str(outcome.state)).inc()
        log.info(
            "object.sent",
            sop_instance_uid=row.sop_instance_uid,
            kind=str(row.kind),
            destination=self.name,
            outcome=str(outcome.state),
            reason=outcome.reason,
        )
        if outcome.state is DeliveryState.WAITING:
            self._blame(row, outcome.reason)
        elif outcome.status is not None or outcome.not_taken:
            self._answered(row)

    def _replaced(self, row: DeliveryRow, reason: str) -> bool:
        """Have the next form written of what the destination does not take."""
        try:
            return self._means.replace(row, reason)
        except StepError as error:
            log.warning("object.not_replaced", destination=self.name, reason=str(error))
        except Exception:  # a form that cannot be made fails this object, and not the others
            log.exception("delivery.failed", sop_instance_uid=row.sop_instance_uid)
        return False

    def _answered(self, row: DeliveryRow) -> None:
        with self._lock:
            self._suspect = None
            was_away = self._row.failures > 0
            if was_away:
                self._rows.note_success(self.name)
                self._row = OutboxRow(self.name)
        if was_away:
            log.info("delivery.back", destination=self.name)
            self._notify()
        if row.next_try_at is not None:
            # It takes what it has refused before: the reason is gone, and for the others, too.
            self._rows.end_waits(self.name)

    def _blame(self, row: DeliveryRow, reason: str) -> None:
        """Decide whether the destination is away, or it was the object."""
        with self._lock:
            alone = self._suspect in (None, row.sop_instance_uid) and not self._row.failures
            self._suspect = row.sop_instance_uid
        if not alone:
            self._went_away(reason)

    def _went_away(self, reason: str) -> None:
        with self._lock:
            now, retry, row = self._means.clock(), self.destination.retry, self._row
            self._page.clear()
            self._failed_at = now
            if gate(row.failures, row.next_try_at, now, retry) is Gate.SHUT:
                return  # another thread has found the same
            failures = row.failures + 1
            since = row.away_since or now
            next_try_at = now + self._wait(failures)
            self._rows.note_failure(self.name, failures, reason, since, next_try_at)
            self._row = OutboxRow(self.name, failures, reason, since, next_try_at)
        if failures == 1:
            log.warning("delivery.away", destination=self.name, reason=reason)

    def _wait(self, failures: int) -> timedelta:
        seconds = wait_s(self.destination.retry, failures, self._means.chance())
        return timedelta(seconds=seconds)

    def _finish(self, seconds: dict[Revision, float]) -> None:
        """Record what became of these revisions here, and settle them if nothing waits."""
        ledger = self._means.ledger
        for (study_instance_uid, revision), spent in seconds.items():
            rows = ledger.deliveries(study_instance_uid, revision, destination=self.name)
            if any(row.attempts for row in rows):
                reasons = {r.reason for r in rows if r.state is not DeliveryState.DELIVERED}
                problem = "; ".join(sorted(reasons - {""}))
                step = StepRow(DELIVER, self.name, spent, self._means.clock(), problem)
                finish_step(ledger, study_instance_uid, revision, step)
            self._means.settlement.settle(study_instance_uid, revision)
        seconds.clear()

    def _notify(self) -> None:
        with self._news:
            self._news_count += 1
            self._news.notify_all()
