"""Pictures for the model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COLORS = {1: (235, 120, 60), 2: (70, 150, 235)}
"""Colour of each label: right lung, left lung."""

TRUTH_COLOR = (70, 220, 90)


def overlay(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Tint the labels of a picture and outline the truth.

    Parameters
    ----------
    image
        ``(rows, columns)``, 0 to 1.
    labels
        Label map of the same shape, tinted.
    truth
        Label map whose outline is drawn in green.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns, 3)``.
    """
    picture = np.repeat(image[..., None], 3, axis=2) * 255
    for value, color in COLORS.items():
        inside = labels == value
        picture[inside] = 0.65 * picture[inside] + 0.35 * np.array(color)
    if truth is not None:
        for value in COLORS:
            inside = truth == value
            picture[inside & ~ndimage.binary_erosion(inside)] = TRUTH_COLOR
    return picture.clip(0, 255).astype(np.uint8)


def save_row(
    path: Path, pictures: Sequence[NDArray[np.uint8]], *, height: int = 300, columns: int = 4
) -> None:
    """Save pictures side by side as one small PNG.

    Parameters
    ----------
    path
        File to write.
    pictures
        RGB pictures of any size.
    height
        Pixels every picture is scaled to.
    columns
        Pictures in a row.
    """
    tiles = [Image.fromarray(p) for p in pictures]
    tiles = [t.resize((round(t.width * height / t.height), height)) for t in tiles]
    width = max(tile.width for tile in tiles)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (min(columns, len(tiles)) * (width + 4), rows * (height + 4)))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(tile, (column * (width + 4) + (width - tile.width) // 2, row * (height + 4)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(96).save(path, optimize=True)
