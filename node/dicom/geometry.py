"""Headers of parallel slices → their order and directions, and the grid they make.

Positions and directions are in the patient coordinate system: LPS, mm (PS3.3 Section
C.7.6.2.1.1). InstanceNumber and SliceLocation are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from engines.grid import Stack
from engines.types import Grid
from node.dicom.header import numbers, sop_instance_uid, text
from node.dicom.stacking import Plane, Vectors, stacked
from node.errors import GeometryError

UNIT_TOLERANCE = 0.01
"""How far a direction's length may be from 1, and the cosine between row and column from 0."""

ORIENTATION_TOLERANCE = 1e-3
"""How far the direction cosines of two slices of one volume may differ (0.06 degrees)."""

DUPLICATE_TOLERANCE_MM = 0.01
"""Slices that are nearer than this are at one position."""

APART: Final = (
    "StackID",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "ConvolutionKernel",
    "FrameType",
    "ImageType",
    "DiffusionGradientOrientation",
    "KVP",
    "FlipAngle",
    "FrameReferenceTime",
    "AcquisitionTime",
    "AcquisitionDateTime",
)
"""Attributes that tell the volumes of a series apart, the plainest first."""


class Geometry(NamedTuple):
    """Slices in their order, and where they are.

    Parameters
    ----------
    order
        ``order[k]`` is the index of the header of slice k. k grows along the normal, the cross
        product of row and column direction.
    grid
        Its affine maps (k, j, i, 1) to LPS mm. First and last slice are where
        ImagePositionPatient says, the others evenly between them.
    stack
        The way to a regular grid and back, where the slices lean or are unevenly spaced, so
        that `grid` is sheared or true on the whole only; else None.
    """

    order: list[int]
    grid: Grid
    stack: Stack | None


def volume_grid(headers: Sequence[Dataset]) -> Geometry:
    """Order slices along their common normal, and describe the grid they make.

    Parameters
    ----------
    headers
        One per slice, in any order.

    Raises
    ------
    GeometryError
        If the slices do not make one volume: fewer than two, attributes that are absent or
        differ, two at one position, or what `node.dicom.stacking.stacked` refuses. The
        message names the attribute, what was found and what was expected.
    """
    if len(headers) < 2:
        raise GeometryError(f"found {len(headers)} slice; a volume needs at least 2")
    _check_frame_of_reference(headers)
    rows, columns = (int(common_number(headers, key)) for key in ("Rows", "Columns"))
    spacing = common_spacing(headers)
    row, column = common_directions(headers)
    normal = np.cross(row, column)

    positions = np.array([required(ds, "ImagePositionPatient", 3) for ds in headers])
    distances = positions @ normal
    order = [int(index) for index in np.lexsort((*positions.T, distances))]
    _check_positions_differ(headers, distances[order])
    plane = Plane(row, column, normal, spacing, (rows, columns))
    return Geometry(order, *stacked(positions[order], plane))


def required(ds: Dataset, keyword: str, count: int) -> Vectors:
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


def common_directions(headers: Sequence[Dataset]) -> tuple[Vectors, Vectors]:
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


def _check_positions_differ(headers: Sequence[Dataset], distances: Vectors) -> None:
    """`distances`: shape (n,), mm along the normal, sorted."""
    positions = 1 + int(np.count_nonzero(np.diff(distances) > DUPLICATE_TOLERANCE_MM))
    if positions == len(headers):
        return
    counts = {key: len({text(ds, key) for ds in headers if key in ds}) for key in APART}
    hints = ", ".join(f"{key} has {count}" for key, count in counts.items() if count > 1)
    raise GeometryError(
        f"ImagePositionPatient: {len(headers)} slices are at {positions} positions; expected one "
        f"slice per position{f' ({hints} values)' if hints else ''}"
    )
