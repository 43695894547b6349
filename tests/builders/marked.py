"""Marked voxels: one bright pixel at a place in the patient that is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

MARK = 3000
"""Stored value of a mark: far above everything in `tests.builders.phantom`."""


def mark(image: Dataset, row: int, column: int) -> None:
    """Set one pixel of a slice of `ct_series`."""
    pixels = image.pixel_array.copy()
    pixels[row, column] = MARK
    image.PixelData = pixels.tobytes()


def place_of(image: Dataset, row: int, column: int) -> npt.NDArray[np.float64]:
    """LPS mm of a pixel's centre (PS3.3 Equation C.7.6.2.1-1)."""
    orientation = np.array(image.ImageOrientationPatient, float)
    between_rows, between_columns = (float(value) for value in image.PixelSpacing)
    return (
        np.array(image.ImagePositionPatient, float)
        + orientation[:3] * between_columns * column
        + orientation[3:] * between_rows * row
    )
