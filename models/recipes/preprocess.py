"""Bringing images to the arrays the engine gives to the network, with the engine's own resampling.

Arrays are float32 and run ``(row, column)`` or ``(slice, row, column)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from engines.grid import Sampling, fitted
from engines.types import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
    """
    low, high = np.percentile(image, [lower, upper])
    return normalize_window(image, a_min=float(low), a_max=max(float(high), float(low) + 1e-6))


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
    """
    return np.clip((volume - a_min) / (a_max - a_min), 0.0, 1.0).astype(np.float32)


def resample(array: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Resample linearly to a shape; axes that shrink are blurred first.

    Parameters
    ----------
    array
        Two or three axes.
    shape
        Target size of every axis; the outer edges stay where they are.
    """
    source = np.asarray(array, dtype=np.float32)
    stack = source[None] if source.ndim == 2 else source
    target = (1, *shape) if source.ndim == 2 else tuple(shape)
    result = Sampling(stack.shape, target, target).forward(stack)
    return result[0] if source.ndim == 2 else result


def letterbox(
    image: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
    """Fit an image into the middle of a black canvas without changing its proportions.

    Parameters
    ----------
    image
        ``(rows, columns)``.
    size
        Rows and columns of the canvas.

    Returns
    -------
    canvas
        float32 of shape ``size``, 0 around the image.
    window
        Rows and columns of the canvas that hold the image.
    """
    sampling = fitted(Grid((1, *image.shape), np.eye(4)), size, keep_aspect=True)
    (_, row, column), (_, rows, columns) = sampling.before, sampling.content
    canvas = sampling.forward(image[None])[0]
    return canvas, (slice(row, row + rows), slice(column, column + columns))


def keep_largest(labels: NDArray[np.uint8], *, values: Sequence[int]) -> NDArray[np.uint8]:
    """Keep the largest connected piece of each label and fill the holes in it.

    Parameters
    ----------
    labels
        Label map of any number of axes.
    values
        Labels to clean; the others stay as they are.
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
