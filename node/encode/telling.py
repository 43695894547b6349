"""Which slices tell most of a result, and what can be measured on one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError

from engines.types import Grid, SegmentationResult
from node.encode.case import found_labels
from node.encode.contour import Polygon


def largest_slices(result: SegmentationResult) -> dict[int, int]:
    """Map each label that was found to the slice where its area is largest (the first, if tied)."""
    best = result.slice_counts.argmax(axis=0)
    return {label.value: int(best[label.value]) for label in found_labels(result)}


def longest_diameter(polygon: Polygon, grid: Grid) -> tuple[Polygon, float]:
    """Find the two points of an outline that are farthest apart.

    Returns
    -------
    array
        Shape (2, 2), columns (column, row).
    float
        Their distance, mm.
    """
    _, row_mm, column_mm = grid.spacing_mm
    points = polygon[:-1]
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # all on a line
        points = np.unique(points, axis=0)
    scaled = points * (column_mm, row_mm)
    distance: npt.NDArray[np.float64] = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    first, second = np.unravel_index(int(distance.argmax()), distance.shape)
    return points[[first, second]], float(distance.max())


def to_patient(
    polygon: Polygon, grid: Grid, position: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Move image coordinates on a slice to LPS mm: shape (points, 3).

    (0, 0) is the outer corner of the first pixel.

    Parameters
    ----------
    position
        ImagePositionPatient of the slice: slices that lean, or are unevenly spaced, are where
        their headers say.
    """
    column, row = polygon.T - 0.5
    placed: npt.NDArray[np.float64] = (
        position + np.outer(row, grid.affine[:3, 1]) + np.outer(column, grid.affine[:3, 2])
    )
    return placed
