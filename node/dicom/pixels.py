"""Pixel data of one file → stored values, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from engines.types import Array, BoolArray
from node.dicom.codestream import check_codestream
from node.dicom.header import number, numbers, permanent, sop_instance_uid
from node.errors import PermanentError

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_IMAGE_PIXEL_KEYWORDS = [
    "SOPInstanceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    *_PIXEL_KEYWORDS,
]


def read_frames(path: Path, header: Dataset) -> Iterator[tuple[Array, BoolArray | None]]:
    """Decode the frames of one monochrome image, in the order of the file.

    Must run inside `lenient`, after `check_readable`.

    Parameters
    ----------
    header
        Of the same file.

    Yields
    ------
    stored
        Shape (Rows, Columns), integer or float: the stored values (PS3.5 Section 8.1.1),
        shifted down from HighBit, unused bits cleared, sign extended.
    padding
        bool, same shape: True where PixelPaddingValue says that there is no image; None
        where the header has no such value.

    Raises
    ------
    PermanentError
        If there is no pixel data, or if it is truncated, cannot be decoded, or has fewer
        frames than NumberOfFrames.
    """
    ds = _read_pixel_data(path)
    syntax = ds.file_meta.TransferSyntaxUID
    instance = f"instance {sop_instance_uid(header)}, transfer syntax {syntax}"
    frames = int(number(ds, "NumberOfFrames") or 1)
    packed = "PixelData" in ds and (not syntax.is_encapsulated or syntax == RLELossless)
    options: dict[str, Any] = (
        {"correct_unused_bits": False} if packed else {}
    )  # `_stored_values` does that
    decoded = 0
    with permanent(f"{instance}: the pixel data cannot be decoded"):
        if syntax.is_encapsulated and syntax != RLELossless:
            _check_codestreams(ds, frames, instance)
        arrays = get_decoder(syntax).iter_array(ds, raw=True, allow_excess_frames=False, **options)
        for container, _ in islice(arrays, frames):
            stored = _stored_values(container, header) if packed else container
            yield stored, padding_mask(container, stored, header)
            decoded += 1
    if decoded < frames:
        raise PermanentError(f"{instance}: NumberOfFrames is {frames}, {decoded} were found")


def _read_pixel_data(path: Path) -> Dataset:
    with permanent(f"{path.name} cannot be read as a DICOM file (PS3.10)"):
        ds = dcmread(path, specific_tags=list(_IMAGE_PIXEL_KEYWORDS))
        present = [keyword for keyword in _PIXEL_KEYWORDS if ds.get(keyword)]
    if len(present) != 1:
        raise PermanentError(
            f"instance {sop_instance_uid(ds)}: found {present or 'no pixel data'}; "
            f"expected one of {', '.join(_PIXEL_KEYWORDS)}"
        )
    return ds


def _check_codestreams(ds: Dataset, frames: int, instance: str) -> None:
    offsets = None
    if "ExtendedOffsetTable" in ds:
        offsets = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
    for frame in generate_frames(ds.PixelData, number_of_frames=frames, extended_offsets=offsets):
        try:
            check_codestream(frame, ds.Rows, ds.Columns)
        except PermanentError as error:
            raise PermanentError(f"{instance}: {error}") from error


def _stored_values(container: Array, header: Dataset) -> Array:
    """Take the stored value out of its container (PS3.5 Section 8.1.1).

    The other bits hold anything: old overlays, or copies of the sign.
    """
    allocated = header.BitsAllocated
    stored = int(number(header, "BitsStored") or allocated)
    high = number(header, "HighBit")
    top = stored - 1 if high is None else int(high)
    if allocated == 1 or stored == allocated:
        return container
    if not stored - 1 <= top < allocated:
        raise PermanentError(
            f"instance {sop_instance_uid(header)}: HighBit is {top} with BitsStored {stored} "
            f"and BitsAllocated {allocated}; expected {stored - 1} … {allocated - 1}"
        )
    # A right shift of a signed container repeats the sign bit.
    shifted: Array = (container << (allocated - 1 - top)) >> (allocated - stored)
    return shifted


def padding_mask(container: Array, stored: Array, header: Dataset) -> BoolArray | None:
    """Where PixelPaddingValue … PixelPaddingRangeLimit says that there is no image.

    The sign of both is that of PixelRepresentation, whatever VR they were written with
    (PS3.3 Section C.7.5.1.1.2). Some writers use a padding value that does not fit into
    BitsStored, so that the container as it was written is looked at as well.

    Parameters
    ----------
    container, stored
        Same shape: before and after the unused bits are cleared.

    Returns
    -------
    bool, same shape
        None where the header has no padding value.
    """
    if stored.dtype.kind == "f":
        prefix = "FloatPixelPadding" if stored.dtype.itemsize == 4 else "DoubleFloatPixelPadding"
    else:
        prefix = "PixelPadding"
    found = [*numbers(header, f"{prefix}Value", 1), *numbers(header, f"{prefix}RangeLimit", 1)]
    if not numbers(header, f"{prefix}Value", 1).size:
        return None
    if stored.dtype.kind == "f":
        return np.asarray((stored >= min(found)) & (stored <= max(found)))
    signed = stored.dtype.kind == "i"
    limits = [_with_sign(int(value), signed) for value in found]
    low, high = min(limits), max(limits)
    mask: BoolArray = np.zeros(stored.shape, np.bool_)
    for values in (stored,) if container is stored else (stored, container):
        if low == high:
            mask |= values == low
        else:
            mask |= (values >= low) & (values <= high)
    return mask


def _with_sign(value: int, signed: bool) -> int:
    """Read the 16 bits of `value` with or without a sign."""
    bits = value & 0xFFFF
    return bits - 0x10000 if signed and bits >= 0x8000 else bits
