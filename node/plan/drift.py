"""Whether a model contradicts the reports more often than it used to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FEWEST_STUDIES: Final = 30
"""In the window and in the baseline each: with fewer a share says nothing."""


@dataclass(frozen=True)
class DriftOfModel:
    """How often one model was contradicted lately, and before.

    Parameters
    ----------
    share, baseline_share
        Discordant studies of all comparable ones, 0 … 1; None where there are none.
    z
        Standard errors between the two; None where there are too few studies.
    """

    studies: int
    baseline_studies: int
    share: float | None
    baseline_share: float | None
    z: float | None

    def alarms(self, from_z: float) -> bool:
        """Whether the share has risen by so many standard errors."""
        return self.z is not None and self.z >= from_z


def drift(discordant: Sequence[bool], window: int, baseline: int) -> DriftOfModel:
    """Hold the newest studies of a model against those before them.

    With the discordant shares p1 of n1 studies in the window and p0 of n0 in the baseline, and
    p of both together: z = (p1 - p0) / sqrt(p (1 - p) (1 / n1 + 1 / n0)), the two-proportion
    z statistic.

    Parameters
    ----------
    discordant
        For each comparable study, the newest first, whether report and model contradict each
        other in it.
    window, baseline
        How many of them are looked at.
    """
    new, old = discordant[:window], discordant[window : window + baseline]
    z = None
    if min(len(new), len(old)) >= FEWEST_STUDIES:
        both = (sum(new) + sum(old)) / (len(new) + len(old))
        error = math.sqrt(both * (1 - both) * (1 / len(new) + 1 / len(old)))
        z = 0.0 if error == 0 else (_share(new) - _share(old)) / error
    return DriftOfModel(
        studies=len(new),
        baseline_studies=len(old),
        share=_share(new) if new else None,
        baseline_share=_share(old) if old else None,
        z=z,
    )


def _share(studies: Sequence[bool]) -> float:
    return sum(studies) / len(studies)
