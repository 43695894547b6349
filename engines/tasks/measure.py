"""Numbers about the labels of a finished label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engines.package import Package
from engines.tasks.morphology import voxel_mm3
from engines.types import (
    Array,
    BoolArray,
    Grid,
    LabelArray,
    Measurement,
    Volume,
    count_voxels,
)

PIXELS = "{pixels}"


def measure(package: Package, labelmap: LabelArray, volume: Volume) -> tuple[Measurement, ...]:
    """Measure every label that was found.

    Parameters
    ----------
    package
        Says what to measure of which label.
    labelmap
        uint8, axes (k, j, i), on the volume's grid.
    volume
        The image that was segmented.

    Returns
    -------
    tuple of Measurement
        By label, in the package's order. What the grid cannot say is left out: an area
        of more than one slice, a volume of a projection or without known spacing.
    """
    counts = count_voxels(labelmap)
    postprocess = package.manifest.postprocess
    found: list[Measurement] = []
    for value, entry in sorted(postprocess.labels.items()):
        names = postprocess.measurements if entry.measurements is None else entry.measurements
        if counts[value] and names:
            mask = labelmap == value
            found += _of_label(value, mask, int(counts[value]), names, volume)
    return tuple(found)


def _of_label(
    label: int, mask: BoolArray, count: int, names: Sequence[str], volume: Volume
) -> Iterator[Measurement]:
    grid = volume.grid
    for name in names:
        if name == "area_mm2" and grid.shape[0] == 1:
            yield _area(label, count, grid)
        if name == "volume_ml" and grid.patient_frame and grid.spacing_known:
            yield Measurement(label, "volume", count * voxel_mm3(grid) / 1000, "ml")
        if name == "mean_hu":
            yield from _intensity(label, mask, volume)
        if name == "extent_mm":
            yield from _extent(label, mask, grid)


def _area(label: int, count: int, grid: Grid) -> Measurement:
    if not grid.spacing_known:
        return Measurement(label, "area", float(count), PIXELS)
    pixel = np.linalg.norm(np.cross(grid.affine[:3, 1], grid.affine[:3, 2]))
    return Measurement(label, "area", count * float(pixel), "mm2")


def _intensity(label: int, mask: BoolArray, volume: Volume) -> Iterator[Measurement]:
    inside = mask if volume.padding is None else mask & ~volume.padding
    values = volume.voxels[inside]
    if values.size:
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        yield Measurement(label, "mean", float(mean), volume.unit)
        yield Measurement(label, "standard_deviation", float(deviation), volume.unit)


def _extent(label: int, mask: BoolArray, grid: Grid) -> Iterator[Measurement]:
    """Measure the box around a label, voxels included, along the axes of the frame."""
    unit = "mm" if grid.spacing_known else PIXELS
    if not grid.patient_frame:
        rows, columns = np.flatnonzero(mask.any(axis=(0, 2))), np.flatnonzero(mask.any(axis=(0, 1)))
        _, row_mm, column_mm = grid.spacing_mm
        yield Measurement(label, "extent_vertical", float(np.ptp(rows) + 1) * row_mm, unit)
        yield Measurement(label, "extent_horizontal", float(np.ptp(columns) + 1) * column_mm, unit)
        return
    x, y, z = _patient_box(mask, grid.affine)
    yield Measurement(label, "extent_craniocaudal", z, unit)
    yield Measurement(label, "extent_anteroposterior", y, unit)
    yield Measurement(label, "extent_transverse", x, unit)


def _patient_box(mask: BoolArray, affine: Array) -> tuple[float, float, float]:
    """Size along x, y and z of LPS of the box around a mask's voxels, mm."""
    k, j = np.nonzero(mask.any(axis=2))
    rows = mask[k, j]
    first = rows.argmax(axis=1)
    last = rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    # Positions are linear along a row, so its two ends hold the extremes.
    ends = np.concatenate([np.stack([k, j, first], axis=1), np.stack([k, j, last], axis=1)])
    centres = ends @ affine[:3, :3].T
    size = np.ptp(centres, axis=0) + np.abs(affine[:3, :3]).sum(axis=1)
    x, y, z = size.tolist()
    return x, y, z


__all__ = ["PIXELS", "measure"]
