"""Overlap and ranking measures with bootstrap intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ROUNDS = 2000
SEED = 20261123


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean-like figure with its 95 % bootstrap interval.

    Attributes
    ----------
    value, low, high
        The figure and the interval.
    p10
        Tenth percentile of the single cases, NaN where it has no meaning.
    cases, patients
        How many it rests on.
    """

    value: float
    low: float
    high: float
    p10: float
    cases: int
    patients: int

    def __str__(self) -> str:
        """Text for a model card."""
        text = f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
        if not np.isnan(self.p10):
            text += f", p10 {self.p10:.3f}"
        return f"{text}, n = {self.cases} ({self.patients} patients)"


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Dice overlap of two masks; 1 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; NaN where one class is missing."""
    count = int(positive.sum())
    if count in {0, len(positive)}:
        return float("nan")
    ranks = stats.rankdata(scores)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(positive) - count)))


def _by_patient(patients: Sequence[str]) -> list[NDArray[np.intp]]:
    names = np.asarray(patients)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(patients)]


def bootstrap(
    patients: Sequence[str], figure: Callable[[NDArray[np.intp]], float]
) -> tuple[float, float]:
    """95 % interval of a figure when whole patients are drawn again with replacement.

    Parameters
    ----------
    patients
        Patient of every case.
    figure
        The figure of the cases with these indices.
    """
    groups = _by_patient(patients)
    rng = np.random.default_rng(SEED)
    values = [
        figure(np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]))
        for _ in range(ROUNDS)
    ]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def estimate_mean(
    values: Sequence[float] | NDArray[np.float64], patients: Sequence[str]
) -> Estimate:
    """Mean of per-case values with interval and tenth percentile."""
    array = np.asarray(values, dtype=np.float64)
    low, high = bootstrap(patients, lambda chosen: float(array[chosen].mean()))
    p10 = float(np.percentile(array, 10))
    return Estimate(float(array.mean()), low, high, p10, len(array), len(set(patients)))


def estimate_auc(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], patients: Sequence[str]
) -> Estimate:
    """Area under the ROC curve with interval."""
    low, high = bootstrap(patients, lambda chosen: auc(scores[chosen], positive[chosen]))
    value = auc(scores, positive)
    return Estimate(value, low, high, float("nan"), len(scores), len(set(patients)))
