"""Headers of parallel slices → their order and the grid they make.

Positions and directions are in the patient coordinate system: LPS, mm (PS3.3 Section
C.7.6.2.1.1). InstanceNumber and SliceLocation are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from engines.types import Grid
from node.dicom.header import numbers, sop_instance_uid, text
from node.errors import GeometryError

UNIT_TOLERANCE = 0.01
"""How far a direction's length may be from 1, and the cosine between row and column from 0."""

ORIENTATION_TOLERANCE = 1e-3
"""How far the direction cosines of two slices of one volume may differ (0.06 degrees)."""

SPACING_TOLERANCE_MM = 0.1
"""How far a slice may lie from where even spacing puts it: positions rounded to one decimal.

Never more than a quarter of the spacing; where 1 % of the spacing is more, that is allowed.
"""

DUPLICATE_TOLERANCE_MM = 0.01
"""Slices that are nearer than this are at one position."""

MISSING_FACTOR = 1.5
"""A gap of more than this times the usual one is a gap, not a rounded number."""

TILT_TOLERANCE_DEGREES = 0.5
"""How far the stack may lean from the normal of its slices: rounding of a few slices."""

_TELLTALES = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "EchoNumbers",
    "EffectiveEchoTime",
    "TriggerTime",
    "StackID",
    "ConvolutionKernel",
    "ImageType",
    "AcquisitionTime",
)

_Vectors = npt.NDArray[np.float64]


def volume_grid(headers: Sequence[Dataset]) -> tuple[list[int], Grid]:
    """Order slices along their common normal, and describe the grid they make.

    Parameters
    ----------
    headers
        One per slice, in any order.

    Returns
    -------
    order
        ``order[k]`` is the index into `headers` of slice k. k grows along the normal,
        the cross product of row and column direction.
    grid
        Its affine maps (k, j, i, 1) to LPS mm. First and last slice are where
        ImagePositionPatient says, the others evenly between them.

    Raises
    ------
    GeometryError
        If the slices do not make one regular volume: fewer than two, attributes that are
        absent or differ, two at one position, slices missing, uneven spacing, or a stack
        that leans (gantry tilt). The message names the attribute, what was found and what
        was expected.
    """
    if len(headers) < 2:
        raise GeometryError(f"found {len(headers)} slice; a volume needs at least 2")
    _check_frame_of_reference(headers)
    rows, columns = (int(common_number(headers, key)) for key in ("Rows", "Columns"))
    row_spacing, column_spacing = common_spacing(headers)
    row, column = common_directions(headers)
    normal = np.cross(row, column)

    positions = np.array([required(ds, "ImagePositionPatient", 3) for ds in headers])
    distances = positions @ normal
    order = [int(index) for index in np.lexsort((*positions.T, distances))]
    _check_positions_differ(headers, distances[order])
    _check_none_missing(distances[order])
    step = (positions[order[-1]] - positions[order[0]]) / (len(order) - 1)
    _check_upright(step, normal, len(order))
    _check_even(positions[order], step)

    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = column * row_spacing
    affine[:3, 2] = row * column_spacing
    affine[:3, 3] = positions[order[0]]
    return order, Grid(shape=(len(order), rows, columns), affine=affine)


def required(ds: Dataset, keyword: str, count: int) -> _Vectors:
    """Values of a numeric attribute that the geometry cannot do without.

    Raises
    ------
    GeometryError
        If it is absent or does not have `count` finite values.
    """
    found = numbers(ds, keyword, count)
    if found.size != count:
        state = "is absent" if keyword not in ds else "cannot be read"
        raise GeometryError(
            f"instance {sop_instance_uid(ds)}: {keyword} {state}; expected {count} number"
            f"{'s' * (count > 1)}"
        )
    return found


def common_number(headers: Sequence[Dataset], keyword: str) -> float:
    """Value of an attribute that all headers must share."""
    found = sorted({float(required(ds, keyword, 1)[0]) for ds in headers})
    if len(found) > 1:
        raise GeometryError(
            f"{keyword} runs from {found[0]:g} to {found[-1]:g} over {len(headers)} slices; "
            "expected one value"
        )
    return found[0]


def common_spacing(
    headers: Sequence[Dataset], keyword: str = "PixelSpacing"
) -> tuple[float, float]:
    """Spacing between rows (along j) and between columns (along i), mm.

    Both must be positive and, up to 0.1 %, the same for all headers (PS3.3 Section 10.7.1).
    """
    spacings = np.array([required(ds, keyword, 2) for ds in headers])
    low, high = spacings.min(axis=0), spacings.max(axis=0)
    if low.min() <= 0:
        raise GeometryError(f"{keyword} is {low.min():g} mm; expected a positive number")
    if np.any(high > low * 1.001):
        raise GeometryError(
            f"{keyword} runs from {low[0]:g}\\{low[1]:g} to {high[0]:g}\\{high[1]:g} mm over "
            f"{len(headers)} slices; expected one value"
        )
    row_spacing, column_spacing = np.median(spacings, axis=0)
    return float(row_spacing), float(column_spacing)


def common_directions(headers: Sequence[Dataset]) -> tuple[_Vectors, _Vectors]:
    """Directions of growing i (along a row) and of growing j (along a column).

    Returns
    -------
    row, column
        float64, shape (3,), LPS: of length 1 and orthogonal, also where the header's
        decimals are not quite.
    """
    cosines = np.array([required(ds, "ImageOrientationPatient", 6) for ds in headers])
    spread = np.ptp(cosines, axis=0).max()
    if spread > ORIENTATION_TOLERANCE:
        raise GeometryError(
            f"ImageOrientationPatient differs by up to {spread:.3f} over {len(headers)} slices; "
            f"expected one orientation (within {ORIENTATION_TOLERANCE:g}): several "
            "reformations, or a localizer, in one series?"
        )
    row, column = np.median(cosines, axis=0).reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > UNIT_TOLERANCE:
        raise GeometryError(
            "ImageOrientationPatient has directions of length "
            f"{lengths[0]:.3f} and {lengths[1]:.3f}; expected 1"
        )
    row, column = row / lengths[0], column / lengths[1]
    if abs(row @ column) > UNIT_TOLERANCE:
        angle = math.degrees(math.acos(row @ column))
        raise GeometryError(
            f"ImageOrientationPatient has {angle:.2f} degrees between row and column; expected 90"
        )
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _check_frame_of_reference(headers: Sequence[Dataset]) -> None:
    found = {text(ds, "FrameOfReferenceUID") for ds in headers}
    if "" in found:
        raise GeometryError(
            "FrameOfReferenceUID is absent: positions of different slices cannot be compared"
        )
    if len(found) > 1:
        raise GeometryError(
            f"FrameOfReferenceUID has {len(found)} values over {len(headers)} slices; expected one"
        )


def _check_positions_differ(headers: Sequence[Dataset], distances: _Vectors) -> None:
    """`distances`: shape (n,), mm along the normal, sorted."""
    positions = 1 + int(np.count_nonzero(np.diff(distances) > DUPLICATE_TOLERANCE_MM))
    if positions == len(headers):
        return
    hints = [f"{key} has {n}" for key in _TELLTALES if (n := _value_count(headers, key)) > 1]
    hint = f"; several phases in one series? ({', '.join(hints)} values)" if hints else ""
    raise GeometryError(
        f"ImagePositionPatient: {len(headers)} slices are at {positions} positions; expected "
        f"one slice per position{hint}"
    )


def _value_count(headers: Sequence[Dataset], keyword: str) -> int:
    return len({text(ds, keyword) for ds in headers if keyword in ds})


def _check_none_missing(distances: _Vectors) -> None:
    """`distances`: shape (n,), mm along the normal, sorted."""
    gaps = np.diff(distances)
    spacing = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # of two, the smaller one
    wide = np.flatnonzero(gaps > MISSING_FACTOR * spacing)
    if not wide.size:
        return
    missing = sum(round(gaps[k] / spacing) - 1 for k in wide)
    k = int(wide[0])
    more = f", and {wide.size - 1} more such gaps" if wide.size > 1 else ""
    raise GeometryError(
        f"ImagePositionPatient: gap of {gaps[k]:.2f} mm between slices {k + 1} and {k + 2} of "
        f"{len(distances)}, where the spacing is {spacing:.2f} mm{more}: "
        f"{missing} slice{'s' * (missing != 1)} missing"
    )


def _check_upright(step: _Vectors, normal: _Vectors, slices: int) -> None:
    """`step`, `normal`: shape (3,), from slice to slice, mm, and of length 1."""
    along = float(step @ normal)
    sideways = float(np.linalg.norm(step - along * normal))
    angle = math.degrees(math.atan2(sideways, along))
    if angle > TILT_TOLERANCE_DEGREES and sideways * (slices - 1) > 2 * SPACING_TOLERANCE_MM:
        raise GeometryError(
            f"ImagePositionPatient: the stack leans by {angle:.1f} degrees from the normal of "
            f"its slices (gantry tilt); expected 0, within {TILT_TOLERANCE_DEGREES}"
        )


def _check_even(positions: _Vectors, step: _Vectors) -> None:
    """`positions`: shape (n, 3), mm, in order; `step`: shape (3,), mm."""
    spacing = float(np.linalg.norm(step))
    allowed = max(0.01 * spacing, min(SPACING_TOLERANCE_MM, 0.25 * spacing))
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - expected, axis=1)
    if off.max() > allowed:
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        raise GeometryError(
            f"ImagePositionPatient: gaps run from {gaps.min():.3f} to {gaps.max():.3f} mm, and "
            f"slice {int(off.argmax()) + 1} of {len(positions)} is {off.max():.3f} mm from where "
            f"even spacing puts it; at most {allowed:.3f} mm is allowed"
        )
