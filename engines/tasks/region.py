"""The part of a volume that a coarse pass has found, for the fine one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engines.api import Box, Voxel
from engines.errors import InputError
from engines.grid import Orientation, Sampling
from engines.tasks.crop import grown
from engines.types import Grid, LabelArray


def found(labelmap: LabelArray, grid: Grid, labels: Sequence[int], margin_mm: float) -> Box | None:
    """Box the labels of a coarse pass.

    Parameters
    ----------
    labelmap
        uint8, axes (k, j, i), on `grid`.
    labels
        Those that count; all of them if empty.
    margin_mm
        By how much the box is larger on every side, mm.

    Returns
    -------
    Box or None
        None where there is no such label.

    Raises
    ------
    InputError
        If the margin cannot be counted in voxels, because the spacing is not known.
    """
    if margin_mm > 0 and not grid.spacing_known:
        raise InputError("the model wants a margin in mm; the image does not say its spacing")
    counts = np.zeros(256, dtype=np.bool_)
    counts[list(labels) or slice(1, None)] = True
    seen = [np.zeros(size, dtype=np.bool_) for size in labelmap.shape]
    for number, plane in enumerate(labelmap):
        mask = counts[plane]
        rows = mask.any(axis=1)
        seen[0][number] = rows.any()
        seen[1] |= rows
        seen[2] |= mask.any(axis=0)
    if not seen[0].any():
        return None
    k, j, i = (
        grown(np.flatnonzero(line), math.ceil(margin_mm / spacing), size)
        for line, spacing, size in zip(seen, grid.spacing_mm, grid.shape, strict=True)
    )
    return k, j, i


def within(region: Box, box: Box) -> Box:
    """Give the part of a region of the source that is in a box, counted from the box's start."""
    k, j, i = (
        slice(
            min(max(part.start, whole.start), whole.stop) - whole.start,
            max(min(part.stop, whole.stop), whole.start) - whole.start,
        )
        for part, whole in zip(region, box, strict=True)
    )
    return k, j, i


def on_canvas(region: Box, orientation: Orientation, sampling: Sampling) -> tuple[Voxel, Voxel]:
    """Find the voxels of the network's canvas that the labels of a region depend on.

    Parameters
    ----------
    region
        In the source that `orientation` turns.

    Returns
    -------
    tuple
        First voxel along k, j and i, and the one past the last; nothing of an empty region.
    """
    ends = []
    for axis in range(3):
        start, stop = turned(region, orientation, sampling, axis)
        if start >= stop:
            return (0, 0, 0), (0, 0, 0)
        ends.append(sampling.needed(start, stop, axis))
    (k, k_stop), (j, j_stop), (i, i_stop) = ends
    return (k, j, i), (k_stop, j_stop, i_stop)


def turned(region: Box, orientation: Orientation, sampling: Sampling, axis: int) -> tuple[int, int]:
    """Find where a region starts and stops along an axis of the turned source."""
    part = region[orientation.axes[axis]]
    if not orientation.flips[axis]:
        return part.start, part.stop
    size = sampling.source[axis]
    return size - part.stop, size - part.start


def only(labels: LabelArray, region: Box | None) -> LabelArray:
    """Set all labels outside a region to background, in place; nothing where there is none."""
    if region is not None:
        kept = labels[region].copy()
        labels[...] = 0
        labels[region] = kept
    return labels


__all__ = ["found", "on_canvas", "only", "turned", "within"]
