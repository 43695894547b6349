"""All borders of a region at once: outer ones and those of its holes.

Image coordinates are those of SCOORD, as in `node.encode.contour`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engines.types import BoolArray

Polygon = npt.NDArray[np.float64]

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
"""(column, row) of a step right, down, left, up."""


def border_loops(mask: BoolArray) -> list[Polygon]:
    """Walk round every border of a region, the region on the right hand.

    Parameters
    ----------
    mask
        Axes (row, column).

    Returns
    -------
    list of array
        Closed polygons of pixel corners without those on straight lines, columns (column,
        row). `area_of` is positive for outer borders, negative for holes. Parts that touch at
        a corner only are apart.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    padded = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    starts, directions = _edges(padded)
    following = _following(starts, directions, (padded.shape[0] + 1, padded.shape[1] + 1))
    loops = []
    left_over = set(range(len(following)))
    for first in range(len(following)):
        if first not in left_over:
            continue
        loop, edge = [], first
        while edge in left_over:
            left_over.discard(edge)
            loop.append(edge)
            edge = following[edge]
        turns = np.array(loop)
        bends = directions[turns] != directions[np.roll(turns, 1)]
        corners = starts[turns[bends]] + (left - 1, top - 1)
        loops.append(np.vstack([corners, corners[:1]]).astype(np.float64))
    return loops


def area_of(polygon: Polygon) -> float:
    """Area in pixels, negative where a closed polygon goes the other way round."""
    x, y = polygon[:-1].T
    following_x, following_y = polygon[1:].T
    return float(np.sum(x * following_y - following_x * y) / 2)


def keyholed(outer: Polygon, holes: list[Polygon]) -> Polygon:
    """Cut a channel of no width from a border to each of its holes, so that one polygon says all.

    Parameters
    ----------
    outer, holes
        Closed polygons, as `border_loops` gives them.
    """
    joined = outer
    for hole in sorted(holes, key=lambda each: tuple(each.min(axis=0))):
        distance = np.sum((joined[:, None, :] - hole[None, :-1, :]) ** 2, axis=2)
        at, there = np.unravel_index(int(distance.argmin()), distance.shape)
        turned = np.roll(hole[:-1], -int(there), axis=0)
        channel = np.vstack([turned, turned[:1], joined[at : at + 1]])
        joined = np.vstack([joined[: at + 1], channel, joined[at + 1 :]])
    return joined


def _edges(padded: BoolArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """List the borders of pixels as steps: where each starts (column, row), and its direction."""
    neighbours = ((-1, 0), (0, 1), (1, 0), (0, -1))  # above, right, below, left: (row, column)
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))  # where the step along that border starts
    starts, directions = [], []
    for direction, (neighbour, corner) in enumerate(zip(neighbours, corners, strict=True)):
        outside = ~np.roll(padded, (-neighbour[0], -neighbour[1]), axis=(0, 1))
        row, column = np.nonzero(padded & outside)
        starts.append(np.stack([column + corner[0], row + corner[1]], axis=1))
        directions.append(np.full(len(row), direction))
    return np.concatenate(starts), np.concatenate(directions)


def _following(
    starts: npt.NDArray[np.intp], directions: npt.NDArray[np.intp], shape: tuple[int, int]
) -> list[int]:
    """Find the step after each: right where possible, straight on, or left."""
    at = np.full((shape[0] * shape[1], 4), -1, dtype=np.intp)
    at[starts[:, 1] * shape[1] + starts[:, 0], directions] = np.arange(len(starts))
    ends = starts + _STEPS[directions]
    places = ends[:, 1] * shape[1] + ends[:, 0]
    following = np.full(len(starts), -1, dtype=np.intp)
    for turn in (3, 0, 1):  # the last that is there counts: a turn to the right
        found = at[places, (directions + turn) % 4]
        following = np.where(found >= 0, found, following)
    return following.tolist()
