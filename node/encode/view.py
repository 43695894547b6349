"""Views of an image with its labels: window, true aspect, fill and contour, orientation.

Pixels only; where they are put and what is written beside them is `node.encode.picture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from scipy import ndimage

from engines.types import FloatArray, Grid, Label, LabelArray, Volume, VoxelArray
from node.encode.text import text_values

RGB = npt.NDArray[np.uint8]
_FILL = 0.22
"""Share of the label's colour inside its contour: the image stays readable below it."""

_SMALL, _RING = 14, 16
"""Pixels of the picture: side of a label that gets a ring, and the radius of that."""

_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")


@dataclass(frozen=True)
class View:
    """One plane to draw.

    Parameters
    ----------
    gray
        uint8, axes (row, column), windowed.
    labels
        uint8, same shape; 0 where there is no label.
    pixel_mm
        Height and width of a pixel; only their ratio matters.
    marks
        Letters of the patient's directions at the left, right, top and bottom edge; empty
        where they are not known (PS3.3 Section C.7.6.1.1.1).
    caption
        Such as ``"slice 12 of 60"``.
    """

    gray: npt.NDArray[np.uint8]
    labels: LabelArray
    pixel_mm: tuple[float, float]
    marks: tuple[str, str, str, str]
    caption: str = ""


def window_of(volume: Volume, labels: LabelArray) -> tuple[float, float]:
    """Lowest and highest value to show, in the volume's unit.

    The source's window, else 1 % to 99 % of the values; widened where labelled voxels lie
    outside it, so that lungs are not black in a soft tissue window.

    Parameters
    ----------
    labels
        uint8, same shape as the volume.
    """
    low, high = _plain_window(volume)
    step = max(1, volume.voxels.size // 2_000_000)
    labelled = _sample(volume, step)[labels.ravel()[::step] > 0]
    if labelled.size:
        darkest, brightest = (float(value) for value in np.percentile(labelled, (2, 98)))
        low, high = min(low, darkest), max(high, brightest)
    return low, high


def _plain_window(volume: Volume) -> tuple[float, float]:
    if volume.window is not None and volume.window[1] > 1:
        centre, width = volume.window
        return centre - width / 2, centre + width / 2
    # A regular sample: sorting 60 million voxels would take longer than the rest.
    step = max(1, volume.voxels.size // 200_000)
    sample = _sample(volume, step)
    if volume.padding is not None:
        inside = sample[~volume.padding.ravel()[::step]]
        sample = inside if inside.size else sample
    low, high = (float(value) for value in np.percentile(sample, (1, 99)))
    return low, max(high, low + 1)


def _sample(volume: Volume, step: int) -> FloatArray:
    return volume.voxels.ravel()[::step].astype(np.float32)


def to_gray(values: VoxelArray, window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Map values to 0 … 255 linearly inside a window."""
    low, high = window
    scaled = (np.asarray(values, dtype=np.float32) - low) * (255.0 / (high - low))
    gray: npt.NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return gray


def radiograph_view(volume: Volume, labels: LabelArray, header: Dataset) -> View:
    """View a projection image as it is; directions are those of *PatientOrientation*."""
    _, rows_mm, columns_mm = volume.grid.spacing_mm
    orientation = text_values(header, "PatientOrientation")
    marks = ("", "", "", "")
    if len(orientation) == 2:
        right, bottom = (direction[:1] for direction in orientation)
        marks = (right.translate(_OPPOSITE), right, bottom.translate(_OPPOSITE), bottom)
    gray = to_gray(volume.voxels[0], window_of(volume, labels))
    return View(gray, labels[0], (rows_mm, columns_mm), marks)


def slice_views(
    volume: Volume, labels: LabelArray, count: int, telling: Sequence[int] = ()
) -> list[View]:
    """View slices at even steps through the labelled range, or through all where none is.

    Parameters
    ----------
    telling
        Slices that must not be missing, the most telling first: each takes the place of the
        nearest.
    """
    window = window_of(volume, labels)
    slices = volume.grid.shape[0]
    labelled = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = (labelled[0], labelled[-1]) if labelled.size else (0, slices - 1)
    span = last - first + 1
    even = first + ((np.arange(count) + 0.5) * span / count).astype(int)
    free, chosen = sorted(set(even.tolist())), set(telling[:count])
    for k in telling[:count]:
        if free:
            free.remove(min(free, key=lambda each: abs(each - k)))
    return [slice_view(volume, labels, k, window) for k in sorted(chosen | set(free))]


def zoomed(view: View, around: tuple[int, int, int, int], times: float) -> View:
    """Cut a view down to a square around a box of pixels.

    Parameters
    ----------
    around
        First row, row past the last, first column, column past the last.
    times
        Side of the square in sides of the box, at least a fifth of the view.
    """
    rows, columns = view.gray.shape
    top, bottom, left, right = around
    tall, wide = view.pixel_mm
    side_mm = max(
        times * max((bottom - top) * tall, (right - left) * wide),
        max(rows * tall, columns * wide) / 5,
    )
    row = _cut((top + bottom) / 2, side_mm / tall, rows)
    column = _cut((left + right) / 2, side_mm / wide, columns)
    return replace(
        view,
        gray=view.gray[row, column],
        labels=view.labels[row, column],
        caption=f"{view.caption}, enlarged",
    )


def _cut(middle: float, size: float, there: int) -> slice:
    length = min(max(2, round(size)), there)
    start = min(max(0, round(middle - length / 2)), there - length)
    return slice(start, start + length)


def slice_view(volume: Volume, labels: LabelArray, k: int, window: tuple[float, float]) -> View:
    """View one slice in a window (lowest and highest value shown)."""
    _, rows_mm, columns_mm = volume.grid.spacing_mm
    return View(
        to_gray(volume.voxels[k], window),
        labels[k],
        (rows_mm, columns_mm),
        axis_marks(volume.grid),
        f"slice {k + 1} of {volume.grid.shape[0]}",
    )


def coronal_view(volume: Volume, labels: LabelArray) -> View | None:
    """View the patient from the front: mean of the values, union of the labels along A-P.

    Returns
    -------
    View or None
        None for one slice, or where the axes of the grid are not near those of the patient.
    """
    if volume.grid.shape[0] < 2:
        return None
    directions = volume.grid.affine[:3, :3] / np.array(volume.grid.spacing_mm)
    along = np.abs(directions).argmax(axis=0)
    if sorted(along.tolist()) != [0, 1, 2]:
        return None
    axis_x, axis_y, axis_z = (int(np.flatnonzero(along == axis)[0]) for axis in range(3))
    order = (axis_z, axis_x) if axis_z < axis_x else (axis_x, axis_z)
    mean = volume.voxels.mean(axis=axis_y, dtype=np.float32)
    union = labels.max(axis=axis_y)
    if order != (axis_z, axis_x):
        mean, union = mean.T, union.T
    if directions[2, axis_z] > 0:
        mean, union = mean[::-1], union[::-1]
    if directions[0, axis_x] < 0:
        mean, union = mean[:, ::-1], union[:, ::-1]
    low, high = (float(value) for value in np.percentile(mean, (1, 99.5)))
    spacing = volume.grid.spacing_mm
    return View(
        to_gray(mean, (low, max(high, low + 1))),
        np.ascontiguousarray(union),
        (spacing[axis_z], spacing[axis_x]),
        ("R", "L", "H", "F"),
        "coronal projection",
    )


def fit(view: View, width: int, height: int) -> tuple[int, int]:
    """Size of a view inside a box, its aspect true: (width, height) in pixels."""
    tall = view.gray.shape[0] * view.pixel_mm[0]
    wide = view.gray.shape[1] * view.pixel_mm[1]
    scale = min(width / wide, height / tall)
    return max(1, round(wide * scale)), max(1, round(tall * scale))


def draw(view: View, size: tuple[int, int], labels: Sequence[Label]) -> RGB:
    """Draw a view at a size: uint8, axes (row, column, RGB)."""
    resized = Image.fromarray(view.gray).resize(size, Image.Resampling.LANCZOS)
    canvas = np.repeat(np.asarray(resized, dtype=np.float32)[:, :, None], 3, axis=2)
    for label in labels:
        mask = view.labels == label.value
        if not mask.any():
            continue
        soft = Image.fromarray(mask.astype(np.uint8) * 255)
        inside = np.asarray(soft.resize(size, Image.Resampling.BICUBIC), dtype=np.int16) > 127
        color = np.array(label.color, dtype=np.float32)
        canvas[inside] = canvas[inside] * (1 - _FILL) + color * _FILL
        border = inside & ~ndimage.binary_erosion(inside, iterations=2)
        canvas[border] = color
    drawn: RGB = np.clip(canvas, 0, 255).astype(np.uint8)
    return _ringed(drawn, view, labels)


def _ringed(drawn: RGB, view: View, labels: Sequence[Label]) -> RGB:
    """Put a ring round every label that is too small to be seen, and show the image in it."""
    small = []
    for label in labels:
        place = np.argwhere(view.labels == label.value)
        if not len(place):
            continue
        scale = np.array(drawn.shape[:2]) / view.labels.shape
        low, high = place.min(axis=0) * scale, (place.max(axis=0) + 1) * scale
        if (high - low).max() < _SMALL:
            small.append((label, (low + high) / 2))
    if not small:
        return drawn
    page = Image.fromarray(drawn)
    pen = ImageDraw.Draw(page)
    for label, (row, column) in small:
        box = (column - _RING, row - _RING, column + _RING, row + _RING)
        pen.ellipse(box, outline=label.color, width=2)
    return np.array(page)


def axis_marks(grid: Grid) -> tuple[str, str, str, str]:
    """Directions at the edges of a slice, from the columns of the affine."""
    right, bottom = _direction(grid.affine[:3, 2]), _direction(grid.affine[:3, 1])
    return right.translate(_OPPOSITE), right, bottom.translate(_OPPOSITE), bottom


def _direction(vector: npt.NDArray[np.float64]) -> str:
    axis = int(np.abs(vector).argmax())
    return ("L", "P", "H")[axis] if vector[axis] > 0 else ("R", "A", "F")[axis]
