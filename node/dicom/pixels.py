"""Pixel data of one file → stored values, frame by frame, from any thread.

Native little endian frames are read from where they are in the file, compressed ones
fragment by fragment, so that of a multi-frame image only the frames in work are in memory.
Whatever is unusual is left to pydicom, which holds the whole value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from engines.types import Array, BoolArray
from node.dicom.bits import padding_mask, stored_values
from node.dicom.codestream import check_codestream
from node.dicom.decode import decode, decodes
from node.dicom.file import PIXEL_KEYWORDS, ImageFile, PixelElement
from node.dicom.fragments import frame_fragments
from node.dicom.header import number, permanent, sop_instance_uid
from node.errors import PermanentError

_IMAGE_PIXEL_KEYWORDS: Final = [
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
    *PIXEL_KEYWORDS.values(),
]
_NATIVE_BITS: Final = (8, 16, 32)

ReadFrame = Callable[[int], tuple[Array, BoolArray | None]]


@contextmanager
def open_frames(image: ImageFile) -> Iterator[ReadFrame]:
    """Open the frames of one monochrome image.

    Must be used inside `lenient`, after `check_readable`.

    Yields
    ------
    callable
        Gives one frame by its index from 0, in the order of the file; callable from several
        threads at once. It returns

        stored
            Shape (Rows, Columns), integer or float: the stored values (PS3.5 Section 8.1.1),
            shifted down from HighBit, unused bits cleared, sign extended.
        padding
            bool, same shape: True where PixelPaddingValue says that there is no image; None
            where the header has no such value.

        and raises `PermanentError` if there is no pixel data, or if it is truncated, cannot
        be decoded, or has fewer frames than NumberOfFrames.
    """
    descriptor = os.open(image.path, os.O_RDONLY)
    try:
        by_pydicom = _ByPydicom(image)
        own = _native(descriptor, image) or _encapsulated(descriptor, image)

        def read_frame(index: int) -> tuple[Array, BoolArray | None]:
            with permanent(f"{_named(image.header)}: the pixel data cannot be decoded"):
                found = None if own is None else own(index)
            if found is None:
                return by_pydicom.frame(index)
            container, packed = found
            stored = stored_values(container, image.header) if packed else container
            return stored, padding_mask(container, stored, image.header)

        yield read_frame
    finally:
        os.close(descriptor)


def read_frames(image: ImageFile) -> Iterator[tuple[Array, BoolArray | None]]:
    """Decode all frames of one image, in the order of the file; see `open_frames`."""
    with open_frames(image) as read_frame:
        for index in range(int(number(image.header, "NumberOfFrames") or 1)):
            yield read_frame(index)


def _named(header: Dataset) -> str:
    syntax = header.file_meta.get("TransferSyntaxUID", "unknown")
    return f"instance {sop_instance_uid(header)}, transfer syntax {syntax}"


_Own = Callable[[int], tuple[Array, bool] | None]
"""Index → container, and whether its unused bits are still to be cleared; None: pydicom's."""


def _native(descriptor: int, image: ImageFile) -> _Own | None:
    """Uncompressed little endian; None where this is not sure to read it right."""
    header, pixels = image.header, image.pixels
    if pixels is None or pixels.length is None or not _is_little_endian(header):
        return None
    dtype = _container(header, pixels)
    if dtype is None:
        return None
    shape = int(header.Rows), int(header.Columns)
    size = shape[0] * shape[1] * dtype.itemsize
    frames = int(number(header, "NumberOfFrames") or 1)
    if not 0 <= pixels.length - frames * size <= size % 2 * frames:
        return None

    def read(index: int) -> tuple[Array, bool] | None:
        content = os.pread(descriptor, size, pixels.offset + index * size)
        if len(content) != size:
            return None
        return np.frombuffer(content, dtype).reshape(shape), dtype.kind != "f"

    return read


def _container(header: Dataset, pixels: PixelElement) -> np.dtype[Any] | None:
    allocated = number(header, "BitsAllocated")
    if pixels.keyword == "FloatPixelData":
        return np.dtype("<f4") if allocated == 32 else None
    if pixels.keyword == "DoubleFloatPixelData":
        return np.dtype("<f8") if allocated == 64 else None
    sign = {0: "u", 1: "i"}.get(int(number(header, "PixelRepresentation") or 0))
    if allocated not in _NATIVE_BITS or sign is None or "BitsStored" not in header:
        return None
    return np.dtype(f"<{sign}{int(allocated) // 8}")


def _is_little_endian(header: Dataset) -> bool:
    syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
    return syntax.is_transfer_syntax and not syntax.is_encapsulated and syntax.is_little_endian


def _encapsulated(descriptor: int, image: ImageFile) -> _Own | None:
    """Compressed, one or more fragments per frame; None where the frames cannot be told apart."""
    header, pixels = image.header, image.pixels
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if pixels is None or pixels.length is not None or not decodes(syntax, header):
        return None
    frames = int(number(header, "NumberOfFrames") or 1)
    fragments = frame_fragments(descriptor, pixels.offset, frames)
    if fragments is None:
        return None

    def read(index: int) -> tuple[Array, bool] | None:
        pieces = [os.pread(descriptor, length, offset) for offset, length in fragments[index]]
        try:
            values = decode(b"".join(pieces), syntax, header)
        except PermanentError as error:
            raise PermanentError(f"{_named(header)}: {error}") from error
        return None if values is None else (values, syntax == RLELossless)

    return read


class _ByPydicom:
    """Frames as pydicom decodes them; the pixel data is read with the first one."""

    def __init__(self, image: ImageFile) -> None:
        self._image = image
        self._lock = Lock()
        self._loaded: Dataset | None = None

    def frame(self, index: int) -> tuple[Array, BoolArray | None]:
        """Decode one frame."""
        header = self._image.header
        frames = int(number(header, "NumberOfFrames") or 1)
        with self._lock:
            if self._loaded is None:
                self._loaded = _read_pixel_data(self._image.path)
                self._check(self._loaded, frames)
        ds = self._loaded
        syntax = ds.file_meta.TransferSyntaxUID
        packed = _is_packed(ds)
        options: dict[str, Any] = {"allow_excess_frames": False}
        if packed:
            options["correct_unused_bits"] = False
        with permanent(f"{_named(header)}: the pixel data cannot be decoded"):
            container, _ = get_decoder(syntax).as_array(ds, raw=True, index=index, **options)
        stored = stored_values(container, header) if packed else container
        return stored, padding_mask(container, stored, header)

    def _check(self, ds: Dataset, frames: int) -> None:
        syntax = ds.file_meta.TransferSyntaxUID
        if not syntax.is_encapsulated or syntax == RLELossless:
            return
        with permanent(f"{_named(ds)}: the pixel data cannot be decoded"):
            _check_codestreams(ds, frames, _named(ds))


def _is_packed(ds: Dataset) -> bool:
    """Whether the unused bits of a container are as they were written."""
    syntax = ds.file_meta.TransferSyntaxUID
    return "PixelData" in ds and (not syntax.is_encapsulated or syntax == RLELossless)


def _read_pixel_data(path: Path) -> Dataset:
    with permanent(f"{path.name} cannot be read as a DICOM file (PS3.10)"):
        ds = dcmread(path, specific_tags=list(_IMAGE_PIXEL_KEYWORDS))
        present = [keyword for keyword in PIXEL_KEYWORDS.values() if ds.get(keyword)]
    if len(present) != 1:
        raise PermanentError(
            f"instance {sop_instance_uid(ds)}: found {present or 'no pixel data'}; "
            f"expected one of {', '.join(sorted(PIXEL_KEYWORDS.values(), reverse=True))}"
        )
    return ds


def _check_codestreams(ds: Dataset, frames: int, instance: str) -> None:
    offsets = None
    if "ExtendedOffsetTable" in ds:
        offsets = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
    found = 0
    for frame in generate_frames(ds.PixelData, number_of_frames=frames, extended_offsets=offsets):
        found += 1
        try:
            check_codestream(frame, ds.Rows, ds.Columns)
        except PermanentError as error:
            raise PermanentError(f"{instance}: {error}") from error
    if found < frames:
        raise PermanentError(f"{instance}: NumberOfFrames is {frames}, {found} were found")
