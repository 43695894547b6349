"""Periodic work of a work process. Nothing durable is kept here: each job reads the index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from node.domain import StudyState
from node.plan.completion import is_complete
from node.store.index import Index
from node.store.ledger import Ledger
from node.work.workflow import Flow

log = structlog.get_logger(__name__)

HEARTBEAT_S = 10.0
DEAD_AFTER_S = 120.0
RECONCILE_S = 30.0
FASTEST_SCAN_S = 0.2
SLOWEST_SCAN_S = 1.0


class Schedule:
    """The clockwork of a work process.

    Parameters
    ----------
    quiet_period_s
        A study that has been quiet for this long is complete.
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        index: Index,
        ledger: Ledger,
        flow: Flow,
        quiet_period_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._flow = flow
        self._quiet_period_s = quiet_period_s
        self._clock = clock
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Run every job once now, and then periodically."""
        self.beat()
        self.reconcile()
        scan_s = min(max(self._quiet_period_s / 20, FASTEST_SCAN_S), SLOWEST_SCAN_S)
        self._scheduler.add_job(self.close_quiet_studies, "interval", seconds=scan_s)
        self._scheduler.add_job(self.beat, "interval", seconds=HEARTBEAT_S)
        self._scheduler.add_job(self.reconcile, "interval", seconds=RECONCILE_S)
        self._scheduler.start()

    def stop(self) -> None:
        """Let the running jobs end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def close_quiet_studies(self) -> None:
        """Complete each study whose quiet period is over, and enqueue its revision."""
        now = self._clock()
        for study in self._index.quiet_studies(now, self._quiet_period_s):
            quiet = is_complete(study.last_received_at, now, self._quiet_period_s)
            if quiet is None:
                continue
            reason = f"{quiet}; {study.instances} instances in {study.series} series"
            revision = self._index.complete_study(study, now, reason)
            if revision is None:
                continue
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
                self._index.set_state(
                    study_instance_uid,
                    revision,
                    StudyState.FAILED,
                    "its processing ended the work process again and again; see the log",
                    self._clock(),
                )
        silent_since = self._clock() - timedelta(seconds=DEAD_AFTER_S)
        for executor_id in self._ledger.dead_executors(silent_since):
            if executor_id != self._flow.executor_id:
                count = self._flow.take_over(executor_id)
                self._ledger.forget_executor(executor_id)
                log.warning("executor.taken_over", executor_id=executor_id, workflows=count)

    def beat(self) -> None:
        """Tell the other hosts that this process lives."""
        self._ledger.beat(self._flow.executor_id, self._clock())
