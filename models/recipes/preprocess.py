"""What the engine does to an array before and after the network, in NumPy.

The recipes train and measure on exactly the arrays the engine will build from the manifest.
Arrays are float32 and run ``(row, column)`` or ``(slice, row, column)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a resized image lies inside its canvas, in canvas pixels.

    Attributes
    ----------
    offset
        Row and column of the first image pixel.
    size
        Rows and columns the image takes.
    """

    offset: tuple[int, int]
    size: tuple[int, int]

    @property
    def window(self) -> tuple[slice, slice]:
        """The canvas region that holds the image."""
        (row, column), (rows, columns) = self.offset, self.size
        return slice(row, row + rows), slice(column, column + columns)


def normalize_percentile(
    image: NDArray[np.float32], *, lower: float = 1.0, upper: float = 99.0
) -> NDArray[np.float32]:
    """Map two percentiles of an image to 0 and 1 and clip.

    Parameters
    ----------
    image
        Any shape, any unit; bright means more attenuation.
    lower, upper
        Percentiles, 0 to 100.

    Returns
    -------
    numpy.ndarray
        The same shape, 0 to 1.
    """
    low, high = np.percentile(image, [lower, upper])
    scaled = (image - low) / max(float(high - low), 1e-6)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)


def normalize_window(
    volume: NDArray[np.float32], *, a_min: float, a_max: float
) -> NDArray[np.float32]:
    """Map ``a_min`` to 0 and ``a_max`` to 1 and clip.

    Parameters
    ----------
    volume
        Any shape, in the unit of the bounds (Hounsfield units on CT).
    a_min, a_max
        Bounds of the window.

    Returns
    -------
    numpy.ndarray
        The same shape, 0 to 1.
    """
    return np.clip((volume - a_min) / (a_max - a_min), 0.0, 1.0).astype(np.float32)


def resample(
    array: NDArray[np.float32], shape: Sequence[int], *, antialias: bool = False
) -> NDArray[np.float32]:
    """Resample linearly to a shape, aligned on the outer edges of the grid.

    Output pixel ``t`` samples ``(t + 0.5) * factor - 0.5`` with
    ``factor = source size / target size``; samples outside repeat the border.

    Parameters
    ----------
    array
        Any number of axes.
    shape
        Target size of every axis.
    antialias
        Blur each axis that shrinks by a Gaussian of ``(factor - 1) / 2`` pixels first.

    Returns
    -------
    numpy.ndarray
        float32 of shape ``shape``.
    """
    factors = [have / want for have, want in zip(array.shape, shape, strict=True)]
    result = np.asarray(array, dtype=np.float32)
    if antialias:
        sigma = [max(0.0, (factor - 1.0) / 2.0) for factor in factors]
        result = ndimage.gaussian_filter(result, sigma, mode="nearest")
    for axis, (factor, want) in enumerate(zip(factors, shape, strict=True)):
        if factor != 1.0:
            result = _interpolate(result, axis, (np.arange(want) + 0.5) * factor - 0.5)
    return result


def _interpolate(
    array: NDArray[np.float32], axis: int, position: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample one axis linearly at fractional positions, repeating the border."""
    last = array.shape[axis] - 1
    position = np.clip(position, 0, last)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, last)
    shape = [1] * array.ndim
    shape[axis] = -1
    weight = (position - below).astype(np.float32).reshape(shape)
    low = np.take(array, below, axis=axis)
    return low + weight * (np.take(array, above, axis=axis) - low)


def letterbox(
    image: NDArray[np.float32], size: tuple[int, int], *, pad: float = 0.0
) -> tuple[NDArray[np.float32], Placement]:
    """Fit an image into a canvas without changing its proportions.

    Parameters
    ----------
    image
        Shape ``(rows, columns)``.
    size
        Rows and columns of the canvas.
    pad
        Value of the canvas around the image.

    Returns
    -------
    canvas
        float32 of shape ``size``.
    placement
        Where the image lies, for `unletterbox`.
    """
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    inner = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    offset = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    placement = Placement(offset, inner)
    canvas = np.full(size, pad, dtype=np.float32)
    canvas[placement.window] = resample(image, inner, antialias=True)
    return canvas, placement


def unletterbox(
    maps: NDArray[np.float32], placement: Placement, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Bring network maps back to the grid of the source image.

    Parameters
    ----------
    maps
        Shape ``(channels, rows, columns)`` of the canvas.
    placement
        What `letterbox` returned.
    shape
        Rows and columns of the source image.

    Returns
    -------
    numpy.ndarray
        float32 of shape ``(channels, *shape)``.
    """
    rows, columns = placement.window
    return resample(maps[:, rows, columns], (maps.shape[0], *shape))


def keep_largest(labels: NDArray[np.uint8], *, values: Sequence[int]) -> NDArray[np.uint8]:
    """Keep the largest connected piece of each label and fill the holes in it.

    Parameters
    ----------
    labels
        Label map of any number of axes.
    values
        Labels to clean; the others stay as they are.

    Returns
    -------
    numpy.ndarray
        Label map of the same shape.
    """
    cleaned = labels.copy()
    for value in values:
        mask = labels == value
        pieces, count = ndimage.label(mask)
        if count == 0:
            continue
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        largest = ndimage.binary_fill_holes(pieces == sizes.argmax())
        cleaned[mask] = 0
        cleaned[largest & (cleaned == 0)] = value
    return cleaned
