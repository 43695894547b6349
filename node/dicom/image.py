"""One radiograph, or one slice → a volume of one slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from engines.types import BoolArray, FloatArray, Grid, Volume
from node.dicom.file import HeaderReader
from node.dicom.frames import frame_headers
from node.dicom.geometry import common_directions, common_spacing, required
from node.dicom.header import check_readable, lenient, number, numbers, text
from node.dicom.modality import display_window, modality_range, modality_values, unit_of
from node.dicom.pixels import read_frames
from node.domain import Source
from node.errors import PermanentError

QUANTITATIVE = frozenset({"CT", "MR", "NM", "PT"})
"""Modalities whose values mean the same however they are shown; MONOCHROME1 inverts none."""

SPACING_KEYWORDS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Where the spacing of a radiograph is looked for, the calibrated one first.

PS3.3 Section 10.7.1.3: ImagerPixelSpacing is at the detector, so that lengths in the patient
are shorter.
"""


@lenient()
def read_image(path: Path) -> Source:
    """Read one single-frame image: a radiograph, or one slice of CT or MR.

    Returns
    -------
    Source
        The volume has one slice. Bright means more attenuation: MONOCHROME1 is inverted
        within the range that BitsStored can hold (float pixel data: within the values
        present), and the window with it, except for ``QUANTITATIVE`` modalities.

    Raises
    ------
    PermanentError
        If the file or its pixel data cannot be read, if it is not a monochrome image, or
        has more than one frame.
    GeometryError
        If it has a position and an impossible orientation.
    """
    image = HeaderReader().read(path)
    header = image.header
    check_readable([header])
    frames = int(number(header, "NumberOfFrames") or 1)
    if frames != 1:
        raise PermanentError(f"NumberOfFrames is {frames}; expected one image of one frame")
    flat = header
    if header.get("PerFrameFunctionalGroupsSequence"):
        (flat,) = frame_headers(header)

    ((stored, padding),) = read_frames(image)
    voxels = modality_values(stored, flat).astype(np.float32)[np.newaxis]
    window = display_window(flat)
    if _shown_inverted(flat):
        lowest, highest = _invertible_range(flat, voxels, padding)
        voxels = np.float32(lowest + highest) - voxels
        window = window and (lowest + highest - window[0], window[1])
    volume = Volume(
        voxels=voxels,
        grid=image_grid(flat),
        modality=text(flat, "Modality"),
        unit=unit_of(flat),
        padding=padding[np.newaxis] if padding is not None and padding.any() else None,
        window=window,
    )
    multiframe = "PerFrameFunctionalGroupsSequence" in header
    return Source(volume=volume, datasets=(header,), frame_numbers=(1,) if multiframe else None)


def image_grid(header: Dataset) -> Grid:
    """Where the pixels of one image are.

    Returns
    -------
    Grid
        In the patient frame where ImagePositionPatient, ImageOrientationPatient,
        FrameOfReferenceUID and PixelSpacing are present; the step along k is then
        SpacingBetweenSlices, SliceThickness or 1 mm along the normal. Else a projection:
        a diagonal affine with 1 along k and the spacing of ``SPACING_KEYWORDS``, or 1 per
        pixel and ``spacing_known`` False.
    """
    shape = (1, int(required(header, "Rows", 1)[0]), int(required(header, "Columns", 1)[0]))
    keyword = next((key for key in SPACING_KEYWORDS if _is_spacing(header, key)), None)
    rows_mm, columns_mm = (1.0, 1.0) if keyword is None else common_spacing([header], keyword)
    position = numbers(header, "ImagePositionPatient", 3)
    placed = position.size and numbers(header, "ImageOrientationPatient", 6).size
    if not (placed and keyword == "PixelSpacing" and text(header, "FrameOfReferenceUID")):
        return Grid(
            shape=shape,
            affine=np.diag([1.0, rows_mm, columns_mm, 1.0]),
            patient_frame=False,
            spacing_known=keyword is not None,
        )
    row, column = common_directions([header])
    affine: npt.NDArray[np.float64] = np.eye(4)
    affine[:3, 0] = np.cross(row, column) * _slice_spacing(header)
    affine[:3, 1] = column * rows_mm
    affine[:3, 2] = row * columns_mm
    affine[:3, 3] = position
    return Grid(shape=shape, affine=affine)


def _is_spacing(header: Dataset, keyword: str) -> bool:
    """Whether an attribute has two positive numbers; 0 is written where none is known."""
    found = numbers(header, keyword, 2)
    return found.size == 2 and bool(found.min() > 0)


def _slice_spacing(header: Dataset) -> float:
    found = (number(header, key) for key in ("SpacingBetweenSlices", "SliceThickness"))
    return next((value for value in found if value is not None and value > 0), 1.0)


def _shown_inverted(header: Dataset) -> bool:
    monochrome1 = text(header, "PhotometricInterpretation") == "MONOCHROME1"
    return monochrome1 and text(header, "Modality") not in QUANTITATIVE


def _invertible_range(
    header: Dataset, voxels: FloatArray, padding: BoolArray | None
) -> tuple[float, float]:
    """Least and greatest modality value possible; of float pixel data, the ones present."""
    if "BitsStored" in header:
        return modality_range(header)
    image = voxels if padding is None or padding.all() else voxels[0][~padding]
    return float(image.min()), float(image.max())
