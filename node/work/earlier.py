"""What the earlier revisions of a study have made, and what need not be made again."""

from __future__ import annotations

from dataclasses import replace

from node.domain import Plan, PlannedRun, Predecessor
from node.plan.late import Earlier
from node.store.index import Index
from node.store.ledger import Ledger


def earlier_runs(
    index: Index, ledger: Ledger, study_instance_uid: str, revision: int
) -> Earlier | None:
    """Gather what the revisions before one have made, or are still making; None for the first."""
    before = [row for row in index.revisions(study_instance_uid) if row.revision < revision]
    if not before:
        return None
    runs = [
        run
        for row in before
        if row.plan is not None
        for run in row.plan.runs
        if row.finished_at is None
        or ledger.revision_that_made(study_instance_uid, run.key) is not None
    ]
    return Earlier(before[-1].revision, before[-1].complete_at, runs)


def predecessors(
    index: Index, ledger: Ledger, study_instance_uid: str, revision: int, run: PlannedRun
) -> tuple[Predecessor, ...]:
    """Find what the latest earlier revision has written of the same model on the same case.

    Of a model that takes single images the case is the image, else the series.
    """
    made = ledger.made(study_instance_uid)
    single = len(run.sop_instance_uids) == 1
    for row in sorted(index.revisions(study_instance_uid), key=lambda row: -row.revision):
        if row.revision >= revision or row.plan is None:
            continue
        keys = {
            other.key
            for other in row.plan.runs
            if (other.model, other.series_instance_uid) == (run.model, run.series_instance_uid)
            and (not single or other.sop_instance_uids == run.sop_instance_uids)
        } - {run.key}
        found = [one for one in made if one.run_key in keys]
        if found:
            return tuple(
                Predecessor(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
                for one in found
            )
    return ()


def without_repeats(ledger: Ledger, plan: Plan) -> tuple[Plan, list[PlannedRun]]:
    """Take out of a plan the runs whose objects an earlier revision has already made.

    Returns
    -------
    tuple
        The plan, which says so of each of them, and the runs taken out.
    """
    runs, repeats, not_run = [], [], list(plan.not_run)
    for run in plan.runs:
        made_in = ledger.revision_that_made(plan.study_instance_uid, run.key)
        if made_in is None or made_in == plan.revision:
            runs.append(run)
            continue
        repeats.append(run)
        not_run.append(
            f"{run.model} on series {run.series_instance_uid}: nothing new since "
            f"revision {made_in}, whose results hold"
        )
    return replace(plan, runs=tuple(runs), not_run=tuple(not_run)), repeats
