"""What became of a study, from its plans, its steps and what they made: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from node.domain import Instance, PlannedRun, Standing
from node.encode.document import Reference
from node.encode.status import RunAccount, RunState, StudyAccount
from node.errors import PermanentError
from node.store.index import RevisionRow
from node.store.ledger import StepRow
from node.work.settle import LEFT_OUT, is_failure

Made = Mapping[str, Sequence[Reference]]
"""The objects of each run, by `PlannedRun.key`."""


def account_of(
    revisions: Sequence[RevisionRow],
    steps: Sequence[StepRow],
    made: Made,
    instances: Sequence[Instance],
) -> StudyAccount:
    """Say what was done with the last of some revisions.

    Parameters
    ----------
    revisions
        Of the study, first one first, up to the one that is accounted for.
    steps
        Of that one.
    made
        Of all of them.
    instances
        Every kept version of the study's instances.

    Returns
    -------
    StudyAccount
        Its runs in the order of the plan, then those of earlier revisions whose results
        hold: of each model and image the latest. A run without object, problem or refusal
        is *pending*.
    """
    *earlier, row = revisions
    planned = () if row.plan is None else row.plan.runs
    runs = [_account(number, run, steps, made) for number, run in enumerate(planned)]
    return StudyAccount(
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        complete_at=row.complete_at,
        complete_reason=row.complete_reason,
        runs=(*runs, *_holding(planned, earlier, made)),
        not_run=_not_run(row),
        inputs=tuple(
            Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
            for one in sorted(instances, key=lambda one: one.sop_instance_uid)
            if one.standing is Standing.USED
        ),
    )


def subject_of(run_number: int, run: PlannedRun) -> str:
    """Name a run in the rows of its steps."""
    return f"{run_number}: {run.model}@{run.model_version}"


def _account(number: int, run: PlannedRun, steps: Sequence[StepRow], made: Made) -> RunAccount:
    own = [row for row in steps if row.subject == subject_of(number, run)]
    refused = [row.problem for row in own if row.step == LEFT_OUT]
    problems = [f"{row.step}: {row.problem}" for row in own if is_failure(row)]
    objects = tuple(made.get(run.key, ()))
    if refused:
        state, reason = RunState.NOT_ELIGIBLE, "; ".join(refused)
    elif problems:
        state, reason = RunState.FAILED, "; ".join(problems)
    else:
        state, reason = (RunState.SUCCEEDED if objects else RunState.PENDING), ""
    return _run_account(run, state, reason, objects)


def _holding(
    planned: Iterable[PlannedRun], earlier: Sequence[RevisionRow], made: Made
) -> list[RunAccount]:
    """Find the runs of earlier revisions whose results no later run has replaced."""
    later = list(planned)
    found = []
    for row in reversed(earlier):
        runs = () if row.plan is None else row.plan.runs
        holding = [
            run for run in runs if run.key in made and not any(_replaces(one, run) for one in later)
        ]
        found += [
            _run_account(
                run,
                RunState.SUCCEEDED,
                f"the results of revision {row.revision} hold",
                tuple(made[run.key]),
            )
            for run in holding
        ]
        later += holding
    return found


def _replaces(later: PlannedRun, run: PlannedRun) -> bool:
    same = later.model == run.model
    return same and not set(later.sop_instance_uids).isdisjoint(run.sop_instance_uids)


def _run_account(
    run: PlannedRun, state: RunState, reason: str, objects: tuple[Reference, ...]
) -> RunAccount:
    return RunAccount(
        model=run.model,
        model_version=run.model_version,
        series_instance_uid=run.series_instance_uid,
        state=state,
        reason=reason,
        objects=objects,
    )


def _not_run(row: RevisionRow) -> tuple[str, ...]:
    if row.plan is not None:
        return row.plan.not_run
    if not row.reason:
        raise PermanentError(f"revision {row.revision} has neither a plan nor a reason why not")
    return (row.reason,)
