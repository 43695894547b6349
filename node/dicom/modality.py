"""Stored values → values with a meaning: rescale, unit, display window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from engines.types import Array, VoxelArray
from node.dicom.header import number, permanent, sop_instance_uid, text
from node.errors import PermanentError

_EXACT = 2**23
"""Below twice this float32 holds every integer."""

HOUNSFIELD = "[hnsf'U]"
"""UCUM code of the Hounsfield unit."""


def modality_values(stored: Array, header: Dataset) -> npt.NDArray[np.floating | np.integer]:
    """Apply the modality transformation of one image (PS3.3 Section C.11.1).

    ModalityLUTSequence, else RescaleSlope and RescaleIntercept, else nothing.
    RealWorldValueMappingSequence is not looked at.

    Parameters
    ----------
    stored
        Any shape, stored values.
    header
        Of this image: slices of one series may differ (PET).

    Returns
    -------
    Same shape
        float64 where there is something to apply, else `stored`.

    Raises
    ------
    PermanentError
        If RescaleSlope is 0, or if the look-up table cannot be read.
    """
    if header.get("ModalityLUTSequence"):
        with permanent(
            f"instance {sop_instance_uid(header)}: ModalityLUTSequence cannot be applied"
        ):
            mapped: npt.NDArray[np.float64] = apply_modality_lut(stored, header).astype(np.float64)
            return mapped
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope == 0:
        raise PermanentError(
            f"instance {sop_instance_uid(header)}: RescaleSlope is 0; expected another number"
        )
    if slope in (None, 1) and intercept in (None, 0):
        return stored
    return stored * np.float64(1 if slope is None else slope) + np.float64(intercept or 0)


def has_whole_values(header: Dataset) -> bool:
    """Whether an image has integers of 16 bits and a whole intercept is all there is to add."""
    intercept = number(header, "RescaleIntercept") or 0.0
    return (
        (number(header, "BitsAllocated") or np.inf) <= 16
        and number(header, "RescaleSlope") in (None, 1)
        and intercept.is_integer()
        and abs(intercept) <= _EXACT
        and not header.get("ModalityLUTSequence")
    )


def fill_modality_values(voxels: VoxelArray, stored: Array, header: Dataset) -> bool:
    """Write the modality values of one slice into a volume.

    The same numbers as those of `modality_values`, rounded to float32; faster, and without
    copies, where the image `has_whole_values`.

    Parameters
    ----------
    voxels
        float32 or int16, same shape as `stored`: written to.

    Returns
    -------
    bool
        False, with nothing written, where int16 cannot hold the values.
    """
    whole = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 and has_whole_values(header)
    intercept = int(number(header, "RescaleIntercept") or 0) if whole else 0
    if voxels.dtype == np.int16:
        if not whole or not _fit_int16(int(stored.min()), int(stored.max()), intercept):
            return False
        # Both may wrap around; their sum is right all the same, for it fits.
        np.add(stored.astype(np.int16), np.int64(intercept).astype(np.int16), out=voxels)
    elif whole:
        np.add(stored, np.float32(intercept), out=voxels, dtype=np.float32)
    else:
        voxels[...] = modality_values(stored, header)
    return True


def _fit_int16(least: int, most: int, intercept: int) -> bool:
    limits = np.iinfo(np.int16)
    return least + intercept >= limits.min and most + intercept <= limits.max


def unit_of(header: Dataset) -> str:
    """UCUM code of the modality values.

    Hounsfield units only for a CT whose header rescales, and does not name another
    RescaleType or ModalityLUTType (PS3.3 Section C.8.2.1.1.2); ``"1"`` for all else.
    """
    if text(header, "Modality") != "CT":
        return "1"
    if header.get("ModalityLUTSequence"):
        kind = text(header.ModalityLUTSequence[0], "ModalityLUTType")
    elif number(header, "RescaleIntercept") is None:
        return "1"
    else:
        kind = text(header, "RescaleType") or "HU"
    return HOUNSFIELD if kind == "HU" else "1"


def modality_range(header: Dataset) -> tuple[float, float]:
    """Modality values of the least and the greatest value that BitsStored can hold."""
    bits = int(number(header, "BitsStored") or 16)
    if number(header, "PixelRepresentation") == 1:
        limits = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1], np.int64)
    else:
        limits = np.array([0, 2**bits - 1], np.int64)
    low, high = (float(value) for value in modality_values(limits, header))
    return low, high


def display_window(header: Dataset) -> tuple[float, float] | None:
    """First WindowCenter and WindowWidth, in modality values (PS3.3 Section C.11.2.1.2).

    VOILUTFunction and VOILUTSequence are not looked at. None where one is absent, or
    where the width is not positive.
    """
    center, width = number(header, "WindowCenter"), number(header, "WindowWidth")
    if center is None or width is None or width <= 0:
        return None
    return center, width
