"""The final state of a revision, from its steps and deliveries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from node.domain import DeliveryState, ResultKind, StudyState
from node.store.index import Index
from node.store.ledger import Ledger, StepRow

log = structlog.get_logger(__name__)

DELIVER = "deliver"
LEFT_OUT = "gate"
"""Step of a run that its package's gate has refused: a decision, not a failure."""

OVER_BUDGET = "latency budget"
"""Step of a run whose results came later than its rule allows: no failure, but shown."""

FORECAST = "latency forecast"
"""Step of a run with a latency budget that is about to begin: its seconds are those that the
model is expected to take, its problem that it will end too late."""

DEVICE_LOST = "device lost"
"""Begins the step of a run that has lost its device: it is repeated, and fails by itself."""


def is_failure(row: StepRow) -> bool:
    """Whether a step failed; deliveries speak for themselves, and not every remark is one."""
    remarks = (DELIVER, LEFT_OUT, OVER_BUDGET, FORECAST)
    remark = row.step in remarks or row.step.startswith(DEVICE_LOST)
    return bool(row.problem) and not remark


class Settlement:
    """Ends revisions. Thread-safe: what the flow and several senders find is the same.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(self, index: Index, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._index = index
        self._ledger = ledger
        self._clock = clock

    def hand_over(self, study_instance_uid: str, revision: int) -> None:
        """Begin to deliver a revision, all of whose objects are written."""
        row = self._index.revision(study_instance_uid, revision)
        if row is None or row.finished_at is not None:
            return
        self._index.set_state(study_instance_uid, revision, StudyState.DELIVERING, "")
        # After that, not before: what has arrived meanwhile was not settled by its sender.
        self.settle(study_instance_uid, revision)

    def settle(self, study_instance_uid: str, revision: int) -> None:
        """Give a revision that is delivering its final state once nothing of it waits."""
        row = self._index.revision(study_instance_uid, revision)
        if row is None or row.state is not StudyState.DELIVERING:
            return
        deliveries = self._ledger.deliveries(study_instance_uid, revision)
        if any(row.state is DeliveryState.WAITING for row in deliveries):
            return
        steps = self._ledger.steps(study_instance_uid, revision)
        left_out = [f"left out {s.subject}: {s.problem}" for s in steps if s.step == LEFT_OUT]
        late = [f"{s.step} {s.subject}: {s.problem}" for s in steps if s.step == OVER_BUDGET]
        problems = [
            f"{row.step} {row.subject}: {row.problem}" for row in steps if is_failure(row)
        ] + [
            f"{row.kind} of {row.model} to {row.destination}: {row.reason}"
            for row in deliveries
            if row.state is DeliveryState.FAILED
        ]
        if problems:
            state = StudyState.FAILED
        elif left_out and all(row.kind is ResultKind.STATUS for row in deliveries):
            state = StudyState.NOT_ELIGIBLE
        else:
            state = StudyState.DONE
        self.end(study_instance_uid, revision, state, "; ".join([*problems, *left_out, *late]))

    def end(self, study_instance_uid: str, revision: int, state: StudyState, reason: str) -> None:
        """Give a revision a final state."""
        self._index.set_state(study_instance_uid, revision, state, reason, self._clock())
        log.info(
            "study.settled",
            study_instance_uid=study_instance_uid,
            revision=revision,
            state=str(state),
            reason=reason,
        )
