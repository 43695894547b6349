"""Cleaning a label map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from engines.package.postprocess import Step
from engines.types import Array, BoolArray, Grid, LabelArray


def clean(labelmap: LabelArray, grid: Grid, steps: Sequence[Step]) -> LabelArray:
    """Apply a package's clean-up steps in order.

    Voxels are connected by their faces. Each label is treated by itself, and only
    background ever becomes a label.

    Parameters
    ----------
    labelmap
        uint8, axes (k, j, i).
    grid
        Where its voxels are; gives the volume of one.
    steps
        From the manifest.

    Returns
    -------
    ndarray
        uint8, same shape; `labelmap` itself, unchanged, where there is no step, else a copy.
    """
    if not steps:
        return labelmap
    cleaned = labelmap.copy()
    for step in steps:
        if step.keep_largest:
            for label in step.keep_largest.labels:
                _keep_largest(cleaned, label, step.keep_largest.components)
        if step.fill_holes:
            for label in step.fill_holes.labels:
                _fill_holes(cleaned, label)
        for label, volume_ml in (step.min_volume_ml or {}).items():
            _drop_small(cleaned, label, volume_ml * 1000 / voxel_mm3(grid))
        for label, fraction in (step.min_area_fraction or {}).items():
            _drop_small(cleaned, label, fraction * labelmap.size)
    return cleaned


def voxel_mm3(grid: Grid) -> float:
    """Volume of one voxel, mm³."""
    return float(abs(np.linalg.det(grid.affine[:3, :3])))


def _keep_largest(labelmap: LabelArray, label: int, components: int) -> None:
    for view in _around(labelmap, label):
        pieces, count = ndimage.label(view == label)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        order = np.argsort(-sizes, kind="stable")
        _drop(view, pieces, order[components:] + 1)


def _drop_small(labelmap: LabelArray, label: int, least: float) -> None:
    """Remove every connected component of fewer than `least` voxels."""
    for view in _around(labelmap, label):
        pieces, count = ndimage.label(view == label)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        _drop(view, pieces, np.flatnonzero(sizes < least) + 1)


def _fill_holes(labelmap: LabelArray, label: int) -> None:
    """Fill the background that `label` encloses; 2D for one slice, else 3D."""
    for view in _around(labelmap, label):
        flat = view[0] if labelmap.shape[0] == 1 else view
        outside, count = ndimage.label(flat != label)
        enclosed = np.ones(count + 1, dtype=np.bool_)
        enclosed[0] = False
        for axis in range(flat.ndim):
            for end in (0, -1):
                enclosed[np.unique(outside.take(end, axis=axis))] = False
        hole: BoolArray = enclosed[outside]
        flat[hole & (flat == 0)] = label


def _around(labelmap: LabelArray, label: int) -> Iterable[LabelArray]:
    """Give the box that holds a label, as a view; nothing if the label is not there."""
    mask = labelmap == label
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        if places.size == 0:
            return
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    yield labelmap[tuple(box)]


def _drop(view: LabelArray, pieces: Array, numbers: Array) -> None:
    gone = np.zeros(int(pieces.max(initial=0)) + 1, dtype=np.bool_)
    gone[numbers] = True
    view[gone[pieces]] = 0


__all__ = ["clean", "voxel_mm3"]
