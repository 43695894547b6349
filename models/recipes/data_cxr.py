"""Chest radiographs of covid-chestxray-dataset, their licences, views and lung masks."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage
from sources import RADIOGRAPHS, lung_masks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PERMISSIVE = re.compile(r"(CC BY|CC BY-SA)( \d\.0)?|CC0|Apache 2\.0")
NON_COMMERCIAL = re.compile(r"CC BY-NC-SA( \d\.0)?")
FRONTAL = frozenset({"PA", "AP", "AP Supine"})
LATERAL = frozenset({"L"})

RIGHT, LEFT = 1, 2
"""Label values: the patient's right lung (on the left of the picture), the left lung."""

LONG_SIDE = 1024
"""Radiographs are reduced by whole factors while their longer side stays above this."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One row of metadata.csv whose picture is present.

    Attributes
    ----------
    patient, sex, view, finding, licence, source
        As the row says; ``source`` is the address the picture came from.
    age
        Years, None where unknown.
    path
        The picture.
    mask
        The v7labs lung mask, None where there is none.
    """

    patient: str
    sex: str
    view: str
    finding: str
    licence: str
    source: str
    age: float | None
    path: Path
    mask: Path | None

    @property
    def permissive(self) -> bool:
        """Whether the licence allows redistribution and commercial use."""
        return PERMISSIVE.fullmatch(self.licence) is not None

    @property
    def non_commercial(self) -> bool:
        """Whether the licence is a plain CC BY-NC-SA: measured on, never trained on or shown."""
        return NON_COMMERCIAL.fullmatch(self.licence) is not None

    def held_out(self, share: float = 0.3) -> bool:
        """Whether this patient is in the test part; decided by a hash of the patient alone."""
        digest = hashlib.sha256(f"wetread/{self.patient}".encode()).digest()
        return digest[0] / 256 < share


def read_radiographs(data: Path) -> list[Radiograph]:
    """List every X-ray row of the collection whose picture is there.

    Parameters
    ----------
    data
        Folder of downloads.

    Returns
    -------
    list of Radiograph
        In the order of metadata.csv.
    """
    root = data / RADIOGRAPHS
    masks = {path.stem: path for path in lung_masks(data).iterdir()}
    found = []
    with (root / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = root / "images" / row["filename"]
            if row["modality"] == "X-ray" and path.is_file():
                found.append(
                    Radiograph(
                        patient=row["patientid"],
                        sex=row["sex"],
                        view=row["view"],
                        finding=row["finding"],
                        licence=row["license"].strip(),
                        source=row["url"],
                        age=float(row["age"]) if row["age"].strip() else None,
                        path=path,
                        mask=masks.get(path.stem),
                    )
                )
    return found


def read_image(radiograph: Radiograph) -> NDArray[np.float32]:
    """Read a picture as grey values.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)``, 0 to 255, the patient's right on the picture's left.
    """
    with Image.open(radiograph.path) as opened:
        image = opened.convert("L")
    return np.asarray(image.reduce(_factor(image.size)), dtype=np.float32)


def read_lungs(radiograph: Radiograph, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the lung mask of a picture and tell the two lungs apart by their side.

    Parameters
    ----------
    radiograph
        One with a mask.
    shape
        Rows and columns of the picture from `read_image`.

    Returns
    -------
    numpy.ndarray
        Labels 0, `RIGHT` and `LEFT`.
    """
    if radiograph.mask is None:
        message = f"{radiograph.path.name} has no lung mask"
        raise ValueError(message)
    with Image.open(radiograph.mask) as opened:
        mask = opened.convert("L")
    resized = mask.reduce(_factor(mask.size)).resize(shape[::-1], Image.Resampling.BILINEAR)
    lungs = np.asarray(resized) > 127
    pieces, count = ndimage.label(lungs)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    two = np.argsort(sizes)[::-1][:2] + 1
    centres = [ndimage.center_of_mass(pieces == piece)[1] for piece in two]
    labels = np.zeros(shape, dtype=np.uint8)
    if len(two) == 1:
        labels[pieces == two[0]] = RIGHT if centres[0] < shape[1] / 2 else LEFT
        return labels
    first_is_right = centres[0] < centres[1]
    labels[pieces == two[0]] = RIGHT if first_is_right else LEFT
    labels[pieces == two[1]] = LEFT if first_is_right else RIGHT
    return labels


def _factor(size: tuple[int, int]) -> int:
    """Whole factor that brings the longer side to about `LONG_SIDE` pixels."""
    return max(1, max(size) // LONG_SIDE)
