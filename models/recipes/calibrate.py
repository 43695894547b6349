"""Temperature scaling of a two-class network and the band in which it abstains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_temperature(logits: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Temperature of the least cross-entropy, both classes weighing the same.

    The targets are Platt's, ``(n + 1) / (n + 2)`` for a class of ``n`` cases instead of 1, so that
    a network that makes no mistake on few cases does not become certain.

    Parameters
    ----------
    logits
        ``(cases, 2)``.
    positive
        ``(cases,)``, True for class 1.

    Returns
    -------
    float
        0.25 to 8; the logits are divided by it.
    """
    counts = np.where(positive, positive.sum(), (~positive).sum())
    right = (counts + 1) / (counts + 2)
    targets = np.where(np.stack([~positive, positive], axis=1), right[:, None], 1 - right[:, None])

    def loss(log_temperature: float) -> float:
        scores = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-((targets * scores).sum(axis=1) / counts).sum())

    found = optimize.minimize_scalar(loss, bounds=(np.log(0.25), np.log(8)), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(
    probability: NDArray[np.float64], correct: NDArray[np.bool_], *, bins: int = 10
) -> float:
    """Mean gap between the probability of the chosen class and how often it is right.

    Parameters
    ----------
    probability
        Of the chosen class, 0.5 to 1.
    correct
        Whether it was right.
    bins
        Equal steps between 0.5 and 1.
    """
    step = np.minimum(((probability - 0.5) * 2 * bins).astype(int), bins - 1)
    gaps = [
        (step == number).mean()
        * abs(probability[step == number].mean() - correct[step == number].mean())
        for number in np.unique(step)
    ]
    return float(sum(gaps))
