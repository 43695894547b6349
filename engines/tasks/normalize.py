"""Bringing an image's values to the range a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from engines.package.preprocess import (
    CtZScoreStep,
    MaskedZScoreStep,
    NormalizeStep,
    PercentileStep,
    WindowStep,
    ZScoreStep,
)
from engines.types import Array, BoolArray, FloatArray

PART_VALUES = 1 << 18
"""Values that are mapped at once: 1 MiB of each array."""


def normalize(
    image: FloatArray,
    valid: BoolArray | None,
    steps: Sequence[NormalizeStep],
    *,
    out: FloatArray | None = None,
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
    out
        float32, same shape: where the result is written, `image` itself at will; a new array
        by default.

    Returns
    -------
    ndarray
        float32, same shape.
    """
    result = np.empty(image.shape, dtype=np.float32) if out is None else out
    for step in steps:
        # A mask carried to fewer voxels can lose its last one.
        seen = image if valid is None or not valid.any() else image[valid]
        mapping = _mapping(step, seen)
        for part in _parts(image):
            result[part] = mapping(image[part])
        image = result
    if image is not result:
        result[...] = image
    return result


def _parts(array: Array) -> Iterator[slice]:
    """Give slices of the first axis that fit a cache together with what is made of them."""
    thickness = max(1, PART_VALUES * len(array) // max(1, array.size))
    for first in range(0, len(array), thickness):
        yield slice(first, first + thickness)


def _mapping(step: NormalizeStep, seen: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Give what a step does to values, after a look at those that count."""
    if isinstance(step, ZScoreStep):
        return _zscore(seen)
    if isinstance(step, MaskedZScoreStep):
        shown = seen[seen != 0]
        inside = _zscore(shown) if shown.size else np.asarray
        return lambda values: np.where(values == 0, np.float32(0), inside(values))
    if isinstance(step, CtZScoreStep):
        lower, upper, mean = np.float32(step.lower), np.float32(step.upper), np.float32(step.mean)
        share = np.float32(1 / step.std)
        return lambda values: (np.clip(values, lower, upper) - mean) * share
    clip = True
    if isinstance(step, WindowStep):
        low, high, clip = step.a_min, step.a_max, step.clip
    elif isinstance(step, PercentileStep):
        low, high = (float(value) for value in np.percentile(seen, [step.lower, step.upper]))
        clip = step.clip
    else:
        low, high = float(seen.min()), float(seen.max())
    return _linear((low, high), (step.b_min, step.b_max), clip=clip)


def _linear(
    given: tuple[float, float], wanted: tuple[float, float], *, clip: bool
) -> Callable[[FloatArray], FloatArray]:
    """Bring one range of values to another; a range without width, to its least."""
    (low, high), (least, most) = given, wanted
    scale = np.float32((most - least) / (high - low) if high > low else 0.0)

    def mapping(values: FloatArray) -> FloatArray:
        mapped: FloatArray = (values - np.float32(low)) * scale
        mapped += np.float32(least)
        return np.clip(mapped, np.float32(least), np.float32(most)) if clip else mapped

    return mapping


def _zscore(seen: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Bring values to mean 0 and standard deviation 1, of those that count."""
    mean = seen.mean(dtype=np.float64)
    # Part by part: the whole in float64 would be twice the image.
    squares = sum(
        float(np.square(np.subtract(seen[part], mean, dtype=np.float64)).sum())
        for part in _parts(seen)
    )
    deviation = math.sqrt(squares / seen.size)
    scale = np.float32(1 / deviation if deviation > 0 else 0.0)
    return lambda values: (values - np.float32(mean)) * scale


__all__ = ["normalize"]
