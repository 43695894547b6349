"""The outline of a region as a polygon in image coordinates.

Image coordinates are those of SCOORD (PS3.3 Section C.18.6.1.1): (column, row) with
sub-pixel resolution, (0, 0) is the outer corner of the first pixel, its centre (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from engines.types import BoolArray

_MOST_POINTS = 1000
"""Of one polygon; GraphicData of 8192 points no longer fits an explicit VR length of 16 bits."""

_FIRST_TOLERANCE = 0.4
"""Pixels that a simplified outline may lie off the pixel borders."""

Polygon = npt.NDArray[np.float64]


def outlines(mask: BoolArray, smallest_share: float = 0.05, most: int = 8) -> list[Polygon]:
    """Outline the separate parts of a region, largest first.

    Parameters
    ----------
    mask
        Axes (row, column).
    smallest_share
        Parts with less than this share of the largest part's pixels are left out.
    most
        Parts beyond this number are left out.

    Returns
    -------
    list of array
        Closed polygons, shape (points, 2), columns (column, row), the first point repeated
        at the end. Holes are not outlined.
    """
    parts, count = ndimage.label(mask)
    if count == 0:
        return []
    sizes = np.bincount(parts.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")[:most]
    kept = [part for part in order if sizes[part] >= smallest_share * sizes.max()]
    boxes = ndimage.find_objects(parts)
    polygons = []
    for part in kept:
        rows, columns = boxes[part]
        border = trace(parts[rows, columns] == part + 1)
        polygons.append(simplify(border + np.array([columns.start, rows.start])))
    return polygons


def trace(part: BoolArray) -> Polygon:
    """Walk once round a connected region, along the borders of its pixels.

    Parameters
    ----------
    part
        Axes (row, column), one region whose pixels touch by their sides.

    Returns
    -------
    array
        Closed polygon of pixel corners, columns (column, row); it encloses exactly the
        pixels of the region and of its holes.
    """
    padded = np.pad(part, 1)
    row, column = (int(index[0]) for index in np.nonzero(padded))
    start = (row, column)
    down, right = 0, 1  # along the upper border of the first pixel, the region on the right
    points = []
    while True:
        points.append((column - 1, row - 1))
        row, column = row + down, column + right
        if (row, column) == start:
            break
        down, right = _turn(padded, row, column, down, right)
    points.append(points[0])
    corners = np.array(points, dtype=np.float64)
    steps = np.diff(corners, axis=0)
    bends = np.any(steps[1:] != steps[:-1], axis=1)
    outline: Polygon = corners[np.concatenate([[True], bends, [True]])]
    return outline


def _turn(padded: BoolArray, row: int, column: int, down: int, right: int) -> tuple[int, int]:
    """Choose the next border at a corner: right where possible, straight on, or left."""
    for next_down, next_right in ((right, -down), (down, right), (-right, down)):
        # The pixels on both sides of the border that leaves the corner (row, column).
        inside = padded[_pixel(row, column, next_down, next_right, next_right, -next_down)]
        outside = padded[_pixel(row, column, next_down, next_right, -next_right, next_down)]
        if inside and not outside:
            return next_down, next_right
    return -down, -right


def _pixel(
    row: int, column: int, down: int, right: int, side_down: int, side_right: int
) -> tuple[int, int]:
    """Find the pixel that lies ahead of a corner and to one side of the way."""
    return (
        row + (down + side_down - 1) // 2,
        column + (right + side_right - 1) // 2,
    )


def simplify(polygon: Polygon) -> Polygon:
    """Drop points until a closed polygon has at most 1000 (Douglas-Peucker)."""
    tolerance = _FIRST_TOLERANCE
    simplified = _within(polygon, tolerance)
    while len(simplified) > _MOST_POINTS:
        tolerance *= 1.5
        simplified = _within(polygon, tolerance)
    return simplified if len(simplified) >= 4 else polygon


def _within(polygon: Polygon, tolerance: float) -> Polygon:
    keep = np.zeros(len(polygon), dtype=bool)
    far = int(np.argmax(np.sum((polygon - polygon[0]) ** 2, axis=1)))
    keep[[0, far, -1]] = True
    spans = [(0, far), (far, len(polygon) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        chord = polygon[last] - polygon[first]
        offset = polygon[first + 1 : last] - polygon[first]
        length = float(np.hypot(*chord))
        if length:
            distance = np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
        else:
            distance = np.hypot(offset[:, 0], offset[:, 1])
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return polygon[keep]
