"""A DICOM file's header, and where in the file its pixel data is, without reading that.

pydicom parses every element of every slice anew, a millisecond and more each. Here a header is
walked by lengths, its elements stay raw until someone asks, and of a series each value is
decoded once, to see that it can be. What the walk is not sure of, pydicom reads.
"""

from __future__ import annotations

import os
import struct
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.charset import convert_encodings
from pydicom.dataelem import (
    DataElement,
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag

from node.dicom.header import check_inflated_size, permanent
from node.part10 import UNDEFINED, Unsure, after_file_meta, after_sequence, element_at, is_sequence

WINDOWS_BYTES: Final = (2**16, 2**20, 2**24)
"""Read of a file until the header is whole: a slice needs the first, a multi-frame image more."""

PIXEL_KEYWORDS: Final = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_PIXEL_GROUP: Final = 0x7FE00000
_FILE_META: Final = 132
_CHARACTER_SET: Final = BaseTag(0x00080005)


@dataclass(frozen=True)
class PixelElement:
    """Where the value of PixelData, FloatPixelData or DoubleFloatPixelData is in its file.

    Parameters
    ----------
    offset
        Of the value, bytes from the start of the file.
    length
        Bytes; None where it is encapsulated.
    """

    keyword: str
    offset: int
    length: int | None


@dataclass(frozen=True)
class ImageFile:
    """One file of an image.

    Parameters
    ----------
    header
        All elements but pixels and overlays; see `HeaderReader.read`.
    pixels
        None where only pydicom can tell, or where there are none.
    """

    path: Path
    header: Dataset
    pixels: PixelElement | None


@dataclass
class HeaderReader:
    """Reads the headers of one series; a value that they share is decoded once."""

    _decodable: set[tuple[str, int, str | None, bytes | None]] = field(default_factory=set)

    def read(self, path: Path) -> ImageFile:
        """Read one DICOM file up to its pixel data.

        An element of the standard (even groups) that cannot be decoded, such as a `DS` with
        letters, is left out, as if it were absent. OverlayData is left out too. Must run
        inside `node.dicom.header.lenient`. The header is not to be changed.

        Raises
        ------
        PermanentError
            If the file is not DICOM (PS3.10 Section 7), or ends inside the header.
        """
        with permanent(f"{path.name} cannot be read as a DICOM file (PS3.10)"):
            found = _walk(path)
            ds, pixels = found if found is not None else (_by_pydicom(path), None)
            self._leave_out(ds)
        return ImageFile(path, ds, pixels)

    def _leave_out(self, ds: Dataset) -> None:
        encoding = str(ds.original_character_set)
        for tag, raw in list(ds._dict.items()):
            if tag.group == 0x7FE0 or (tag.group & 0xFF01 == 0x6000 and tag.elem == 0x3000):
                del ds[tag]
            elif tag.group % 2 == 0:
                key = None
                if isinstance(raw, RawDataElement):
                    key = (encoding, int(tag), raw.VR, raw.value)
                if key is None or key not in self._decodable:
                    _decode_or_drop(ds, tag)
                    if key is not None and tag in ds:
                        self._decodable.add(key)


def read_header(path: Path) -> Dataset:
    """Read the header of one file; see `HeaderReader.read`."""
    return HeaderReader().read(path).header


def _decode_or_drop(ds: Dataset, tag: BaseTag) -> None:
    try:
        element = ds[tag]
    except (ValueError, TypeError, NotImplementedError, ArithmeticError):
        del ds[tag]
        return
    if element.VR in ("DS", "IS"):  # pydicom leaves what is no number as text
        values = element.value if element.VM > 1 else [element.value]
        if any(isinstance(value, str) and value for value in values):
            del ds[tag]


def _by_pydicom(path: Path) -> Dataset:
    check_inflated_size(path)
    return dcmread(path, stop_before_pixels=True)


def _walk(path: Path) -> tuple[Dataset, PixelElement | None] | None:
    """Walk over a header; None where that is not sure to give what pydicom gives."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        for window_bytes in WINDOWS_BYTES:
            window = os.pread(descriptor, window_bytes, 0)
            try:
                return _data_set(window, size)
            except (Unsure, struct.error):
                if len(window) >= size:
                    return None
    finally:
        os.close(descriptor)
    return None


def _data_set(window: bytes, size: int) -> tuple[Dataset, PixelElement | None]:
    """Make a data set of raw elements; `size` is that of the whole file, bytes."""
    offset, implicit = after_file_meta(window)
    meta, _ = _raw_elements(window[:offset], _FILE_META, False)
    elements, offset = _raw_elements(window, offset, implicit)
    ds = Dataset(elements)
    ds.file_meta = FileMetaDataset(meta)
    encoding: str | MutableSequence[str] = "iso8859"
    character_set = elements.get(_CHARACTER_SET)
    if isinstance(character_set, RawDataElement):
        encoding = convert_encodings(convert_raw_data_element(character_set).value)
    ds.set_original_encoding(implicit, True, encoding)
    return ds, _pixel_element(window, offset, implicit, size)


def _raw_elements(
    window: bytes, offset: int, implicit: bool
) -> tuple[dict[BaseTag, DataElement | RawDataElement], int]:
    """Collect the elements before the pixels, and return where those begin."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    last, size = -1, len(window)
    while offset < size:
        tag, vr, length, start = element_at(window, offset, implicit)
        if tag <= last:
            raise Unsure
        if tag >= _PIXEL_GROUP:
            break
        last = tag
        name = None if vr is None else vr.decode("ascii")
        if length == UNDEFINED:
            # Items in a value of VR UN are implicit (PS3.5 Section 6.2.2): left to pydicom.
            if vr == b"UN" or not is_sequence(window, tag, vr, start):
                raise Unsure
            offset = after_sequence(window, start, implicit)
            value: bytes | None = window[start : offset - 8]
        else:
            offset = start + length
            value = window[start:offset] if length else _empty(name)
        if offset > size:
            raise Unsure
        key = BaseTag(tag)
        elements[key] = RawDataElement(
            key, name, len(value or b""), value, start, implicit, True, True
        )
    return elements, offset


def _empty(vr: str | None) -> bytes | None:
    value = empty_value_for_VR(vr, raw=True)
    return value if isinstance(value, bytes) else None


def _pixel_element(window: bytes, offset: int, implicit: bool, size: int) -> PixelElement | None:
    """Place the pixel data that begins at `offset`; None where there is anything unusual."""
    if offset >= len(window):
        if offset < size:
            raise Unsure
        return None
    tag, vr, length, start = element_at(window, offset, implicit)
    if tag not in PIXEL_KEYWORDS:
        return None
    if length == UNDEFINED:
        return PixelElement(PIXEL_KEYWORDS[tag], start, None) if vr == b"OB" else None
    return PixelElement(PIXEL_KEYWORDS[tag], start, length) if start + length <= size else None
