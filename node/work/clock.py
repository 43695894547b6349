"""One step of one study: timed, logged in one line, and recorded with how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy.exc import OperationalError

from node.errors import PermanentError, TransientError
from node.metrics import STEP_SECONDS
from node.store.ledger import Ledger, StepRow

log = structlog.get_logger(__name__)


def worth_retrying(error: BaseException) -> bool:
    """Whether the same step may succeed later: a full disk, a lost database, a peer down."""
    return isinstance(error, TransientError | OSError | OperationalError)


class StepClock:
    """Context of one step.

    What will fail again ends the step, not the study: it is kept as `problem`, and the
    other runs go on. What is `worth_retrying` reaches the caller.

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
        self._step = step
        self._subject = subject
        self._began = 0.0

    def __enter__(self) -> StepClock:
        self._began = time.perf_counter()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None and (worth_retrying(error) or not isinstance(error, Exception)):
            return False
        if isinstance(error, PermanentError):
            self.problem = str(error)
        elif error is not None:
            # The message of an unforeseen error may quote the data set: only its type is shown.
            self.problem = f"internal error: {type(error).__name__}"
            log.error("step.broke", step=self._step, exc_info=error)
        seconds = time.perf_counter() - self._began
        STEP_SECONDS.labels(step=self._step).observe(seconds)
        self._ledger.record_step(
            *self._key, StepRow(self._step, self._subject, seconds, self._clock(), self.problem)
        )
        (log.warning if self.problem else log.info)(
            "step.failed" if self.problem else "step.done",
            step=self._step,
            subject=self._subject,
            study_instance_uid=self._key[0],
            revision=self._key[1],
            seconds=round(seconds, 3),
            **({"reason": self.problem} if self.problem else {}),
        )
        return True
