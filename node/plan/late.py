"""Images that came after their study was complete, and the results they do not change.

A rule says ``late_images: rerun`` or ``mark``. With *mark* a model's results are kept as they
are: what it would read now is not run where it differs from what was read before. That holds
for a series that came late as a whole, too, but not for a model that has made nothing of the
study yet: there would be no results to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.config.model import Rule
from node.domain import Instance, PlannedRun, Standing


@dataclass(frozen=True)
class Earlier:
    """What the earlier revisions of a study have come to.

    Parameters
    ----------
    revision
        The last of them.
    complete_at
        When it was complete.
    runs
        Of all of them: the runs that have made results, or still may.
    """

    revision: int
    complete_at: datetime
    runs: Sequence[PlannedRun]


def why_late(
    run: PlannedRun, rule: Rule, earlier: Earlier | None, instances: Sequence[Instance]
) -> str | None:
    """Say why a run is not made because its images came late, or None.

    What was released from quarantine, and what an administrator has asked to be planned anew,
    is not late: nothing has come since the revision before.

    Parameters
    ----------
    instances
        All of the study, as `node.plan.routing.plan_study` gets them.
    """
    if earlier is None or rule.late_images != "mark":
        return None
    late = sum(
        one.standing is Standing.USED
        and not one.standing_reason  # one that was released keeps the reason
        and one.received_at >= earlier.complete_at
        for one in instances
    )
    read = {
        (one.series_instance_uid, one.inputs_digest)
        for one in earlier.runs
        if one.model == run.model
    }
    if not late or not read or (run.series_instance_uid, run.inputs_digest) in read:
        return None
    came = "1 image" if late == 1 else f"{late} images"
    return (
        f"late: {came} came after revision {earlier.revision} was complete; "
        f"rule {rule.name} keeps its results (late_images: mark)"
    )
