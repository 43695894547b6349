"""Synthetic inputs for the self-tests; never a patient's pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def _ellipse(
    shape: Sequence[int], centre: Sequence[float], radii: Sequence[float]
) -> NDArray[np.bool_]:
    """Ellipsoid in a grid of any axes; centre and radii as shares of each axis."""
    axes = np.meshgrid(*(np.linspace(0, 1, count) for count in shape), indexing="ij")
    distance = sum(
        ((axis - middle) / radius) ** 2
        for axis, middle, radius in zip(axes, centre, radii, strict=True)
    )
    return np.asarray(distance <= 1.0)


def chest_radiograph(size: tuple[int, int], *, seed: int) -> NDArray[np.float32]:
    """A body with two dark lungs, ribs and a heart: ``(1, rows, columns)``, 0 to 1."""
    rng = np.random.default_rng(seed)
    image = 0.8 * _ellipse(size, (0.6, 0.5), (0.6, 0.48)).astype(np.float32)
    for column in (0.3, 0.7):
        lung = _ellipse(size, (0.45 + rng.normal(0, 0.02), column), (0.3, 0.14))
        image[lung] = 0.25
    image[_ellipse(size, (0.58, 0.58), (0.15, 0.12))] = 0.75
    rows = np.arange(size[0])[:, None]
    image += 0.06 * (np.sin(rows / size[0] * 60) > 0.6) * (image > 0)
    return np.round(ndimage.gaussian_filter(image, 2), 2)[None].astype(np.float32)


def chest_ct(size: tuple[int, int, int], *, seed: int) -> NDArray[np.float32]:
    """A body with two lungs, spine and heart: ``(1, z, y, x)``, 0 to 1 as after the window."""
    rng = np.random.default_rng(seed)
    volume = 0.73 * _ellipse(size, (0.5, 0.5, 0.5), (2.0, 0.38, 0.48)).astype(np.float32)
    for column in (0.28, 0.72):
        lung = _ellipse(size, (0.5, 0.48 + rng.normal(0, 0.02), column), (0.5, 0.25, 0.15))
        volume[lung] = 0.11
    volume[_ellipse(size, (0.4, 0.4, 0.55), (0.25, 0.14, 0.12))] = 0.74
    volume[_ellipse(size, (0.5, 0.76, 0.5), (2.0, 0.06, 0.05))] = 0.95
    return np.round(ndimage.gaussian_filter(volume, 0.7), 2)[None].astype(np.float32)


def part_of_chest_ct(size: tuple[int, int, int], *, seed: int) -> NDArray[np.float32]:
    """The middle of a lung in a small field of view, air around it: ``(1, z, y, x)``, 0 to 1."""
    field = tuple(slice(count // 3, count - count // 3) for count in size)
    source = (*field[:2], slice(size[2] // 12, size[2] // 12 + size[2] - 2 * (size[2] // 3)))
    volume = empty(size)
    volume[0][field] = chest_ct(size, seed=seed)[0][source]
    return volume


def empty(size: Sequence[int]) -> NDArray[np.float32]:
    """Nothing but air: ``(1, *size)``, 0."""
    return np.zeros((1, *size), dtype=np.float32)
