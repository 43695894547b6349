"""Which study is read first: stat before routine, then the one whose latency budget ends first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from node.domain import PlannedRun
from node.metrics import LATENCY_BUDGETS
from node.store.ledger import Ledger, StepRow
from node.work.settle import FORECAST, OVER_BUDGET

log = structlog.get_logger(__name__)

WITHOUT_BUDGET_S: Final = 3600.0
"""Budget that a run without one queues with, so that it neither comes first nor never."""

_DAY_ONE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_CLASS: Final = 1 << 30
"""Places of one priority: seconds, for 34 years. The queue has room for two classes."""


@dataclass(frozen=True)
class Overrun:
    """A run whose results were late.

    Parameters
    ----------
    taken_s
        From the complete study to the results, seconds.
    budget_s
        What its rule allows, seconds.
    """

    taken_s: float
    budget_s: float

    def __str__(self) -> str:
        return f"results {self.taken_s:.0f} s after the study was complete, of {self.budget_s:g} s"


def deadline(run: PlannedRun, complete_at: datetime) -> datetime:
    """Give the moment at which a run's results are due."""
    budget_s = WITHOUT_BUDGET_S if run.latency_budget_s is None else run.latency_budget_s
    return complete_at + timedelta(seconds=budget_s)


def place_in_queue(runs: Sequence[PlannedRun], complete_at: datetime) -> int:
    """Give a study's place in the queue, 1 … 2³¹ - 1; lower ones are read first.

    It is that of its most urgent run.
    """
    return min((_place(run.priority, deadline(run, complete_at)) for run in runs), default=1)


def overrun(run: PlannedRun, complete_at: datetime, now: datetime) -> Overrun | None:
    """Say by how much a run's results, there now, are late; None where they are not."""
    taken_s = (now - complete_at).total_seconds()
    if run.latency_budget_s is None or taken_s <= run.latency_budget_s:
        return None
    return Overrun(taken_s, run.latency_budget_s)


def shortfall(
    run: PlannedRun, complete_at: datetime, now: datetime, expected_s: float | None
) -> str | None:
    """Say that a run that is about to begin is expected to end too late; else None.

    Parameters
    ----------
    expected_s
        How long the model takes, seconds; None where nobody knows.
    """
    if run.latency_budget_s is None or expected_s is None:
        return None
    left_s = (deadline(run, complete_at) - now).total_seconds()
    if expected_s <= left_s:
        return None
    return (
        f"the model was expected to take {expected_s:.0f} s when {max(left_s, 0.0):.0f} s of the "
        f"latency budget of {run.latency_budget_s:g} s were left"
    )


class Budgets:
    """Counts the runs that have a latency budget, and records what was foreseen and what came.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger, self._clock = ledger, clock

    def foresee(
        self,
        study_instance_uid: str,
        revision: int,
        subject: str,
        run: PlannedRun,
        complete_at: datetime,
        expected_s: float | None,
    ) -> tuple[str, ...]:
        """Judge a run that is about to begin; gives what its result's provenance must say.

        It is run all the same: a late result is better than none.
        """
        if run.latency_budget_s is None or expected_s is None:
            return ()
        now = self._clock()
        short = shortfall(run, complete_at, now, expected_s)
        row = StepRow(FORECAST, subject, expected_s, now, short or "")
        self._ledger.record_step(study_instance_uid, revision, row)
        if short is None:
            return ()
        log.warning(
            "budget.short",
            study_instance_uid=study_instance_uid,
            revision=revision,
            rule=run.rule,
            reason=short,
        )
        return (short,)

    def check(
        self,
        study_instance_uid: str,
        revision: int,
        subject: str,
        run: PlannedRun,
        complete_at: datetime,
    ) -> None:
        """Judge a run whose results are there now; one without a budget is not judged."""
        if run.latency_budget_s is None:
            return
        now = self._clock()
        late = overrun(run, complete_at, now)
        LATENCY_BUDGETS.labels(rule=run.rule, outcome="exceeded" if late else "met").inc()
        if late is None:
            return
        row = StepRow(OVER_BUDGET, subject, late.taken_s, now, str(late))
        self._ledger.record_step(study_instance_uid, revision, row)
        log.warning(
            "budget.exceeded",
            study_instance_uid=study_instance_uid,
            revision=revision,
            rule=run.rule,
            seconds=round(late.taken_s, 1),
            budget_s=late.budget_s,
        )


def _place(priority: int, due: datetime) -> int:
    seconds = int((due - _DAY_ONE).total_seconds())
    behind = 0 if priority > 0 else _CLASS
    return behind + min(max(seconds, 1), _CLASS - 1)


__all__ = [
    "WITHOUT_BUDGET_S",
    "Budgets",
    "Overrun",
    "deadline",
    "overrun",
    "place_in_queue",
    "shortfall",
]
