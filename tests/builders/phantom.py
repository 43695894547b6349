"""A chest in Hounsfield units, in which no two directions look alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def chest(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Hounsfield units at places in a chest.

    Air around, a body, two lungs of which the right one is larger, a heart between them on
    the left, a spine behind, and a liver below the right lung.

    Parameters
    ----------
    points
        Shape (…, 3), LPS, each coordinate from -1 to 1 across the field of view.

    Returns
    -------
    int16, shape (…)
        Hounsfield units.
    """
    hounsfield = np.full(points.shape[:-1], -1000, np.int16)
    for centre, radii, value in (
        ((0.0, 0.0, 0.0), (0.9, 0.7, 3.0), 40),  # body
        ((-0.42, 0.0, 0.1), (0.34, 0.48, 0.95), -850),  # right lung
        ((0.45, 0.05, 0.15), (0.28, 0.44, 0.85), -870),  # left lung
        ((0.12, -0.15, -0.1), (0.3, 0.3, 0.4), 60),  # heart
        ((0.0, 0.5, 0.0), (0.12, 0.12, 3.0), 400),  # spine
        ((-0.4, 0.0, -0.9), (0.4, 0.5, 0.45), 110),  # liver
    ):
        inside = (((points - np.array(centre)) / np.array(radii)) ** 2).sum(axis=-1) <= 1
        hounsfield[inside] = value
    return hounsfield
