"""Bringing an image's values to the range a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.package.preprocess import (
    CtZScoreStep,
    MaskedZScoreStep,
    NormalizeStep,
    PercentileStep,
    WindowStep,
    ZScoreStep,
)
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
        image = _apply(step, image, seen)
    return np.asarray(image, dtype=np.float32)


def _apply(step: NormalizeStep, image: FloatArray, seen: FloatArray) -> FloatArray:
    if isinstance(step, ZScoreStep):
        return _zscore(image, seen)
    if isinstance(step, MaskedZScoreStep):
        shown = seen[seen != 0]
        inside = _zscore(image, shown) if shown.size else image
        return np.where(image == 0, np.float32(0), inside)
    if isinstance(step, CtZScoreStep):
        clipped = np.clip(image, np.float32(step.lower), np.float32(step.upper))
        return (clipped - np.float32(step.mean)) * np.float32(1 / step.std)
    clip = True
    if isinstance(step, WindowStep):
        low, high, clip = step.a_min, step.a_max, step.clip
    elif isinstance(step, PercentileStep):
        low, high = (float(value) for value in np.percentile(seen, [step.lower, step.upper]))
        clip = step.clip
    else:
        low, high = float(seen.min()), float(seen.max())
    scale = (step.b_max - step.b_min) / (high - low) if high > low else 0.0
    mapped = (image - np.float32(low)) * np.float32(scale) + np.float32(step.b_min)
    return np.clip(mapped, np.float32(step.b_min), np.float32(step.b_max)) if clip else mapped


def _zscore(image: FloatArray, seen: FloatArray) -> FloatArray:
    mean, deviation = seen.mean(dtype=np.float64), seen.std(dtype=np.float64)
    scale = 1 / deviation if deviation > 0 else 0.0
    return (image - np.float32(mean)) * np.float32(scale)


__all__ = ["normalize"]
