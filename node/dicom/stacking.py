"""Positions of parallel slices → one grid, or the way to one, or the reason why neither.

Evenly spaced, upright slices are a grid as they are. Slices that lean (gantry tilt) and slices
of varying spacing become a `Stack`. A slice that is missing, or beside the line of the others,
is refused: nothing is made up.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.grid import Stack
from engines.types import Grid
from node.dicom.header import MAX_VOXELS
from node.errors import GeometryError

SPACING_TOLERANCE_MM = 0.1
"""How far a slice may lie from where even spacing puts it: positions rounded to one decimal.

Never more than a quarter of the spacing; where 1 % of the spacing is more, that is allowed.
Beyond it the true positions are used.
"""

MISSING_FACTOR = 1.5
"""A gap of more than this times the usual one is a gap, not a rounded number."""

BLOCK = 3
"""So many wide gaps in a row, all alike, are another spacing and no missing slices."""

MAX_UNEVENNESS = 4.0
"""Widest gap over narrowest; beyond it the slices between would be mostly invented."""

TILT_TOLERANCE_DEGREES = 0.5
"""How far the stack may lean from the normal of its slices: rounding of a few slices."""

MAX_TILT_DEGREES = 45.0
"""No gantry leans further than 30."""

Vectors: TypeAlias = npt.NDArray[np.float64]


class Plane(NamedTuple):
    """What all slices of a stack share.

    Parameters
    ----------
    row, column, normal
        float64, shape (3,), LPS, of length 1 and at right angles: directions of growing i, j, k.
    spacing
        Between rows and between columns, mm.
    shape
        Rows and columns.
    """

    row: Vectors
    column: Vectors
    normal: Vectors
    spacing: tuple[float, float]
    shape: tuple[int, int]


def stacked(positions: Vectors, plane: Plane) -> tuple[Grid, Stack | None]:
    """Make the grid of slices that lie at different distances along their normal.

    Parameters
    ----------
    positions
        ImagePositionPatient of two slices or more, shape (n, 3), mm, in order.

    Returns
    -------
    grid
        Of the slices as they are; see `node.dicom.geometry.Geometry`.
    stack
        None where `grid` is regular.

    Raises
    ------
    GeometryError
        If slices are missing, if one is beside the line of the others, if the stack leans by
        more than ``MAX_TILT_DEGREES``, or if the spacing varies too much.
    """
    distances = positions @ plane.normal
    _check_none_missing(positions, distances)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    allowed = _allowed(float(np.linalg.norm(step)))
    _check_in_line(positions, distances, allowed)
    grid = Grid((len(positions), *plane.shape), _affine(step, plane, positions[0]))
    even = distances[0] + np.arange(len(positions)) * float(step @ plane.normal)
    is_even = bool(np.abs(distances - even).max() <= allowed)
    if is_even and not _leans(step, plane.normal, len(positions)):
        return grid, None
    return grid, _stack(positions, even if is_even else distances, plane)


def _allowed(spacing: float) -> float:
    return max(0.01 * spacing, min(SPACING_TOLERANCE_MM, 0.25 * spacing))


def _affine(step: Vectors, plane: Plane, origin: Vectors) -> Vectors:
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = plane.column * plane.spacing[0]
    affine[:3, 2] = plane.row * plane.spacing[1]
    affine[:3, 3] = origin
    return affine


def _check_none_missing(positions: Vectors, distances: Vectors) -> None:
    gaps = np.diff(distances)
    spacing = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # of two, the smaller one
    wide = [int(k) for k in np.flatnonzero(gaps > MISSING_FACTOR * spacing)]
    wide = [k for k in wide if not _in_block(gaps, k)]
    if not wide:
        return
    missing = sum(max(1, round(gaps[k] / spacing) - 1) for k in wide)
    k = wide[0]
    more = f", and {len(wide) - 1} more such gaps" if len(wide) > 1 else ""
    between = max(2, round(gaps[k] / spacing))
    expected = positions[k] + (positions[k + 1] - positions[k]) / between
    place = "\\".join(f"{value:.2f}" for value in expected)
    raise GeometryError(
        f"ImagePositionPatient: gap of {gaps[k]:.2f} mm between slices {k + 1} and {k + 2} of "
        f"{len(distances)}, where the spacing is {spacing:.2f} mm{more}: "
        f"{missing} slice{'s' * (missing != 1)} missing, the first at {place}"
    )


def _in_block(gaps: Vectors, k: int) -> bool:
    """Whether gap k is one of several alike in a row: another spacing of the same series."""
    alike = np.abs(gaps - gaps[k]) <= _allowed(float(gaps[k])) * 2
    start = stop = k
    while start > 0 and alike[start - 1]:
        start -= 1
    while stop + 1 < len(gaps) and alike[stop + 1]:
        stop += 1
    return stop - start + 1 >= BLOCK


def _check_in_line(positions: Vectors, distances: Vectors, allowed: float) -> None:
    """Check that the first pixels of all slices are on one line, upright or leaning."""
    share = (distances - distances[0]) / (distances[-1] - distances[0])
    line = positions[0] + share[:, None] * (positions[-1] - positions[0])
    off = np.linalg.norm(positions - line, axis=1)
    if off.max() > allowed:
        raise GeometryError(
            f"ImagePositionPatient: slice {int(off.argmax()) + 1} of {len(positions)} is "
            f"{off.max():.3f} mm beside the line of the others; at most {allowed:.3f} mm is allowed"
        )


def _leans(step: Vectors, normal: Vectors, slices: int) -> bool:
    """Say whether the stack leans from its normal; `step` goes from slice to slice, mm."""
    along = float(step @ normal)
    sideways = float(np.linalg.norm(step - along * normal))
    angle = math.degrees(math.atan2(sideways, along))
    if angle > MAX_TILT_DEGREES:
        raise GeometryError(
            f"ImagePositionPatient: the stack leans by {angle:.1f} degrees from the normal of "
            f"its slices; at most {MAX_TILT_DEGREES:g} are read (gantry tilt)"
        )
    return angle > TILT_TOLERANCE_DEGREES and sideways * (slices - 1) > 2 * SPACING_TOLERANCE_MM


def _stack(positions: Vectors, distances: Vectors, plane: Plane) -> Stack:
    """Lay a regular grid under slices that are not one; `distances` along the normal, mm."""
    gaps = np.diff(distances)
    if gaps.max() > MAX_UNEVENNESS * gaps.min():
        raise GeometryError(
            f"ImagePositionPatient: gaps run from {gaps.min():.3f} to {gaps.max():.3f} mm; the "
            f"widest may be {MAX_UNEVENNESS:g} times the narrowest"
        )
    length = float(distances[-1] - distances[0])
    # Rounded up: no two slices share a place, and each gets its own labels back.
    steps = math.ceil(length / float(gaps.min()) - 1e-6)
    in_plane = (positions - positions[0]) @ np.stack([plane.column, plane.row], axis=1)
    shift = np.rint(in_plane / np.array(plane.spacing)).astype(np.intp)
    shift -= shift.min(axis=0)
    rows, columns = (int(size) for size in np.array(plane.shape) + shift.max(axis=0))
    if (steps + 1) * rows * columns > MAX_VOXELS:
        raise GeometryError(
            f"the regular grid would have {steps + 1} x {rows} x {columns} voxels; at most "
            f"{MAX_VOXELS} are read"
        )
    offset = shift[0] * np.array(plane.spacing)
    origin = positions[0] - offset[0] * plane.column - offset[1] * plane.row
    affine = _affine(plane.normal * (length / steps), plane, origin)
    return Stack(
        grid=Grid((steps + 1, rows, columns), affine),
        source=(len(positions), *plane.shape),
        at=(distances - distances[0]) / (length / steps),
        shift=shift,
    )
