"""Periodic work of a work process. Nothing durable is kept here: each job reads the index.

Waiting is measured with the monotonic clock, so that no job stops, and no other process counts
as dead, because somebody has set the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread

import structlog

from node.plan.completion import is_complete
from node.store.index import Index, StudyRow
from node.store.ledger import Ledger
from node.work.vigil import Vigil
from node.work.workflow import Flow

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0
DEAD_AFTER_S = 120.0
RECONCILE_S = 30.0
FASTEST_SCAN_S = 0.02
SLOWEST_SCAN_S = 1.0
"""A study that an administrator has opened again waits no longer than this."""


class Schedule:
    """The clockwork of a work process.

    Parameters
    ----------
    quiet_period_s
        A study that has been quiet for this long is complete.
    clock
        Gives the current time, timezone-aware.
    stopwatch
        Gives seconds that only ever grow, however the clock is set.
    """

    def __init__(
        self,
        index: Index,
        ledger: Ledger,
        flow: Flow,
        quiet_period_s: float,
        clock: Callable[[], datetime],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._flow = flow
        self._quiet_period_s = quiet_period_s
        self._clock = clock
        self._stopwatch = stopwatch
        self._studies_ahead: Vigil[tuple[datetime, int]] = Vigil(quiet_period_s)
        self._heartbeats: Vigil[datetime] = Vigil(DEAD_AFTER_S)
        self._last_beat: datetime | None = None
        self._stop = Event()
        self._thread = Thread(target=self._tick, name="schedule", daemon=True)

    def start(self) -> None:
        """Run every job once now, and then periodically in a thread of its own."""
        self.beat()
        self.reconcile()
        self._thread.start()

    def stop(self) -> None:
        """Let the running job end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _tick(self) -> None:
        beat_at = self._stopwatch() + HEARTBEAT_S
        reconcile_at = self._stopwatch() + RECONCILE_S
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            wait_s = SLOWEST_SCAN_S
            try:
                self.close_quiet_studies()
                if self._stopwatch() >= beat_at:
                    self.beat()
                    beat_at = self._stopwatch() + HEARTBEAT_S
                if self._stopwatch() >= reconcile_at:
                    self.reconcile()
                    reconcile_at = self._stopwatch() + RECONCILE_S
                wait_s = self.next_scan_in_s()
            except Exception:  # a database that is away now must find the clockwork running later
                log.exception("schedule.failed")

    def next_scan_in_s(self) -> float:
        """Seconds until a study may fall quiet; no more than a study that is new now will need."""
        slowest = min(SLOWEST_SCAN_S, self._quiet_period_s / 2)
        span = self._index.receiving_since()
        if span is None:
            return slowest
        quiet_at = span[0] + timedelta(seconds=self._quiet_period_s)
        return min(max((quiet_at - self._clock()).total_seconds(), FASTEST_SCAN_S), slowest)

    def close_quiet_studies(self) -> None:
        """Complete each study whose quiet period is over, and enqueue its revision."""
        now = self._clock()
        span = self._index.receiving_since()
        if span is None:
            self._studies_ahead.watch({}, self._stopwatch())
            return
        earliest, latest = span
        if is_complete(earliest, now, self._quiet_period_s):
            for study in self._index.quiet_studies(now, self._quiet_period_s):
                if quiet := is_complete(study.last_received_at, now, self._quiet_period_s):
                    self._close(study, quiet)
        self._close_studies_ahead(now, latest)

    def _close_studies_ahead(self, now: datetime, latest: datetime) -> None:
        """Complete studies that were received before the clock was set back.

        By the clock their quiet period begins in the future. They are complete when nothing
        has come for a quiet period by the stopwatch.
        """
        quiet_period = timedelta(seconds=self._quiet_period_s)
        ahead = {}
        if latest > now + quiet_period:
            ahead = {
                study.study_instance_uid: study
                for study in self._index.quiet_studies(latest + quiet_period, self._quiet_period_s)
                if study.last_received_at > now + quiet_period
            }
        seen = {uid: (study.last_received_at, study.instances) for uid, study in ahead.items()}
        for uid in self._studies_ahead.watch(seen, self._stopwatch()):
            self._close(ahead[uid], f"no new instance for {self._quiet_period_s:g} s")

    def _close(self, study: StudyRow, quiet: str) -> None:
        reason = f"{quiet}; {study.instances} instances in {study.series} series"
        revision = self._index.complete_study(study, self._clock(), reason)
        if revision is None:
            return
        log.info(
            "study.complete",
            study_instance_uid=study.study_instance_uid,
            revision=revision,
            reason=reason,
        )
        self._flow.enqueue_study(study.study_instance_uid, revision)

    def reconcile(self) -> None:
        """Mend what a crash between two durable steps can leave behind."""
        for queued in self._index.queued_revisions():
            self._flow.enqueue_study(queued.study_instance_uid, queued.revision)
        for study_instance_uid, revision in self._flow.poisoned():
            row = self._index.revision(study_instance_uid, revision)
            if row is not None and row.finished_at is None:
                self._flow.give_up(
                    study_instance_uid,
                    revision,
                    "its processing ended the work process again and again; see the log",
                )
        self._take_over()

    def _take_over(self) -> None:
        """Take over the work of processes whose heartbeat has stood still.

        Not judged by what their clock says, which may be hours from ours.
        """
        beats = self._ledger.heartbeats()
        beats.pop(self._flow.executor_id, None)
        for executor_id in self._heartbeats.watch(beats, self._stopwatch()):
            count = self._flow.take_over(executor_id)
            self._ledger.forget_executor(executor_id)
            log.warning("executor.taken_over", executor_id=executor_id, workflows=count)

    def beat(self) -> None:
        """Tell the other hosts that this process lives."""
        now = self._clock()
        if self._last_beat is not None:
            # A clock that stands still must not look like a process that does.
            now = max(now, self._last_beat + timedelta(microseconds=1))
        self._last_beat = now
        self._ledger.beat(self._flow.executor_id, now)
