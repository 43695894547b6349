"""One step of one study: timed, logged in one line, and recorded with how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from node.errors import PermanentError, TransientError
from node.metrics import STEP_SECONDS
from node.store.ledger import Ledger, StepRow

log = structlog.get_logger(__name__)


def worth_retrying(error: BaseException) -> bool:
    """Whether the same step may succeed later: a full disk, a lost database, a peer down."""
    if isinstance(error, FileNotFoundError):
        return False  # an input that is gone does not come back
    return isinstance(error, TransientError | OSError | OperationalError)


def why_waiting(error: BaseException) -> str:
    """Say in words what a step waits for; paths and statements are left out."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, OperationalError):
        return "the database does not answer"
    return str(error)


class StepClock:
    """Context of one step.

    What will fail again ends the step, not the study: it is kept as `problem`, and the
    other runs go on. What is `worth_retrying` is shown as what the step waits for, and reaches
    the caller, who tries again.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    subject
        Which run or destination the step is about; empty for the whole study.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], datetime],
        study_instance_uid: str,
        revision: int,
        step: str,
        subject: str,
    ) -> None:
        self.problem = ""
        self._ledger = ledger
        self._clock = clock
        self._key = (study_instance_uid, revision)
        self.subject = subject
        self._step = step
        self._began = 0.0

    def __enter__(self) -> StepClock:
        self._began = time.perf_counter()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None and (worth_retrying(error) or not isinstance(error, Exception)):
            self._wait(error)
            return False
        if isinstance(error, PermanentError):
            self.problem = str(error)
        elif error is not None:
            # The message of an unforeseen error may quote the data set: only its type is shown.
            self.problem = f"internal error: {type(error).__name__}"
            log.error("step.broke", step=self._step, exc_info=error)
        seconds = time.perf_counter() - self._began
        row = StepRow(self._step, self.subject, seconds, self._clock(), self.problem)
        finish_step(self._ledger, *self._key, row)
        return True

    def _wait(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            return
        reason = why_waiting(error)
        log.warning(
            "step.waits",
            step=self._step,
            subject=self.subject,
            study_instance_uid=self._key[0],
            revision=self._key[1],
            reason=reason,
        )
        # The disk that is full may be the one of the database.
        with suppress(SQLAlchemyError):
            row = StepRow(self._step, self.subject, 0.0, self._clock(), f"waits: {reason}")
            self._ledger.record_step(*self._key, row)


def finish_step(ledger: Ledger, study_instance_uid: str, revision: int, row: StepRow) -> None:
    """Record, measure and log a step that has ended."""
    STEP_SECONDS.labels(step=row.step).observe(row.seconds)
    ledger.record_step(study_instance_uid, revision, row)
    (log.warning if row.problem else log.info)(
        "step.failed" if row.problem else "step.done",
        step=row.step,
        subject=row.subject,
        study_instance_uid=study_instance_uid,
        revision=revision,
        seconds=round(row.seconds, 3),
        **({"reason": row.problem} if row.problem else {}),
    )
