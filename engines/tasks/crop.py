"""Cutting an image to what is in it, before a network sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engines.api import Box
from engines.errors import InputError
from engines.package import Package
from engines.types import Grid, Volume


def foreground(package: Package, volumes: Sequence[Volume]) -> Box:
    """Find the part of the images that a package wants to see.

    Parameters
    ----------
    package
        Says by ``preprocess.crop`` what counts.
    volumes
        One per input channel, all on one grid.

    Returns
    -------
    Box
        Around all voxels, of any volume, that exceed the value and are no padding, grown by
        the margin; the whole grid without ``crop``, or if there is no such voxel.

    Raises
    ------
    InputError
        If the margin cannot be counted in voxels, because the spacing is not known.
    """
    grid, crop = volumes[0].grid, package.manifest.preprocess.crop
    if crop is None:
        return _whole(grid)
    if crop.margin_mm > 0 and not grid.spacing_known:
        raise InputError("the model wants a margin in mm; the image does not say its spacing")
    seen = [np.zeros(size, dtype=np.bool_) for size in grid.shape]
    for volume in volumes:
        for k, plane in enumerate(volume.voxels):
            mask = plane > np.float32(crop.above)
            if volume.padding is not None:
                mask &= ~volume.padding[k]
            rows = mask.any(axis=1)
            seen[0][k] |= rows.any()
            seen[1] |= rows
            seen[2] |= mask.any(axis=0)
    if not seen[0].any():
        return _whole(grid)
    box = [
        grown(np.flatnonzero(line), math.ceil(crop.margin_mm / spacing), size)
        for line, spacing, size in zip(seen, grid.spacing_mm, grid.shape, strict=True)
    ]
    return box[0], box[1], box[2]


def cut(volume: Volume, box: Box) -> Volume:
    """Give the part of a volume that is in a box; views of its arrays."""
    return replace(
        volume,
        voxels=volume.voxels[box],
        grid=cut_grid(volume.grid, box),
        padding=None if volume.padding is None else volume.padding[box],
    )


def cut_grid(grid: Grid, box: Box) -> Grid:
    """Place the part of a grid that is in a box."""
    if box == _whole(grid):
        return grid
    affine = grid.affine.copy()
    for axis, part in enumerate(box):
        affine[:3, 3] += part.start * grid.affine[:3, axis]
    k, j, i = (part.stop - part.start for part in box)
    return Grid((k, j, i), affine, grid.patient_frame, grid.spacing_known)


def _whole(grid: Grid) -> Box:
    k, j, i = (slice(0, size) for size in grid.shape)
    return k, j, i


def grown(places: npt.NDArray[np.intp], margin: int, size: int) -> slice:
    """Span the given voxels of an axis of `size`, and `margin` more on both sides."""
    return slice(max(0, int(places[0]) - margin), min(size, int(places[-1]) + 1 + margin))


__all__ = ["cut", "cut_grid", "foreground", "grown"]
