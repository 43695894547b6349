"""Bringing an image's values to the range a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.package.preprocess import NormalizeStep, PercentileStep, ZScoreStep
from engines.types import BoolArray, FloatArray


def normalize(
    image: FloatArray, valid: BoolArray | None, steps: Sequence[NormalizeStep]
) -> FloatArray:
    """Apply a package's normalisation, step by step.

    Parameters
    ----------
    image
        float32, any axes, in the unit of the source; finite.
    valid
        Voxels that count for statistics, same shape; None for all of them.
    steps
        From the manifest. An image of one value becomes the least result, or 0 by z-score.

    Returns
    -------
    ndarray
        float32, same shape.
    """
    for step in steps:
        # A mask carried to fewer voxels can lose its last one.
        seen = image if valid is None or not valid.any() else image[valid]
        if isinstance(step, ZScoreStep):
            image = _zscore(image, seen)
            continue
        if isinstance(step, PercentileStep):
            low, high = (float(value) for value in np.percentile(seen, [step.lower, step.upper]))
        else:
            low, high = step.a_min, step.a_max
        scale = (step.b_max - step.b_min) / (high - low) if high > low else 0.0
        image = (image - np.float32(low)) * np.float32(scale) + np.float32(step.b_min)
        if step.clip:
            image = np.clip(image, np.float32(step.b_min), np.float32(step.b_max))
    return np.asarray(image, dtype=np.float32)


def _zscore(image: FloatArray, seen: FloatArray) -> FloatArray:
    mean, deviation = seen.mean(dtype=np.float64), seen.std(dtype=np.float64)
    scale = 1 / deviation if deviation > 0 else 0.0
    return (image - np.float32(mean)) * np.float32(scale)


__all__ = ["normalize"]
