"""Data elements as bytes, for what is too much to be made of pydicom's data sets.

A Segmentation of 50 segments has 6000 frames and 49 000 nested items; as objects these take
15 seconds and most of a gigabyte, as bytes a fraction of a second. Explicit VR Little Endian
(PS3.5 Section 7.1.2) only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from engines.types import Array, BoolArray, FloatArray
from node.errors import PermanentError

_SEQUENCE = struct.Struct("<HH2sHI")
_ELEMENT = struct.Struct("<HH2sH")
_ITEM = struct.Struct("<HHI")
_PIXEL_DATA = (0x7FE0, 0x0010)
_FLOAT_PIXEL_DATA = (0x7FE0, 0x0008)
_MOST = 0xFFFFFFFE
_UNDEFINED = 0xFFFFFFFF
_BITS_TOGETHER = 8
"""Frames packed at a time: eight of any size end at a whole byte."""


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element whose VR has a length of 16 bits; text is padded to even length."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _ELEMENT.pack(tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def sequence(tag: int, *items: bytes) -> bytes:
    """Encode a sequence of encoded items, with their lengths."""
    content = b"".join(_ITEM.pack(0xFFFE, 0xE000, len(item)) + item for item in items)
    return sequence_start(tag, len(content)) + content


def sequence_start(tag: int, length: int) -> bytes:
    """Encode the head of a sequence; `length` counts its items with their heads."""
    return _SEQUENCE.pack(tag >> 16, tag & 0xFFFF, b"SQ", 0, length)


def item(content: bytes) -> bytes:
    """Encode one item of a sequence."""
    return _ITEM.pack(0xFFFE, 0xE000, len(content)) + content


def file_chunks(dataset: Dataset, tail: Iterable[bytes]) -> Iterator[bytes]:
    """Give a file (PS3.10) piece by piece.

    Parameters
    ----------
    dataset
        With file meta information; all its tags are lower than those of the tail.
    tail
        Encoded elements that come after it.
    """
    head = DicomBytesIO()
    head.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(head, dataset.file_meta, enforce_standard=True)
    yield head.getvalue()
    elements = DicomBytesIO()
    elements.is_little_endian, elements.is_implicit_VR = True, False
    write_dataset(elements, dataset)
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        yield from _deflated([elements.getvalue()], tail)
        return
    yield elements.getvalue()
    yield from tail


def _deflated(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """Deflate a data set (RFC 1951, PS3.5 Section A.5), padded to even length."""
    # The lowest level: label maps are long runs, on which more effort gains little.
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    length = 0
    for part in parts:
        for chunk in part:
            if small := squeeze.compress(chunk):
                length += len(small)
                yield small
    rest = squeeze.flush()
    yield rest + b"\0" * ((length + len(rest)) % 2)


def bits(masks: Iterable[BoolArray], frames: int, pixels: int) -> Iterator[bytes]:
    """Encode PixelData of one bit per pixel; frames follow each other without padding.

    Parameters
    ----------
    masks
        One for each frame, axes (row, column).
    frames, pixels
        Their number, and that of the pixels of each.
    """
    length = -(-frames * pixels // 8)
    yield _pixel_data(b"OB", length)
    waiting: list[BoolArray] = []
    together = 1 if pixels % 8 == 0 else _BITS_TOGETHER
    for mask in masks:
        waiting.append(mask.reshape(-1))
        if len(waiting) == together:
            yield np.packbits(np.concatenate(waiting), bitorder="little").tobytes()
            waiting = []
    if waiting:
        yield np.packbits(np.concatenate(waiting), bitorder="little").tobytes()
    yield b"\0" * (length % 2)


def native(frames: Iterable[Array], length: int, bits_allocated: int) -> Iterator[bytes]:
    """Encode PixelData of 8 or 16 bits for a sample, little endian, `length` bytes in all."""
    yield _pixel_data(b"OB" if bits_allocated == 8 else b"OW", length)
    for frame in frames:
        yield frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
    yield b"\0" * (length % 2)


def float_pixels(planes: Iterable[FloatArray], values: int) -> Iterator[bytes]:
    """Encode FloatPixelData (7FE0,0008) of 32-bit values, `values` in all, little endian."""
    yield _pixel_data(b"OF", 4 * values, _FLOAT_PIXEL_DATA)
    for plane in planes:
        yield plane.astype("<f4", copy=False).tobytes()


def encapsulated(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Encode PixelData of compressed frames, each of even length (PS3.5 Section A.4).

    The offset table is empty, so that no frame has to wait for the last.
    """
    yield _SEQUENCE.pack(*_PIXEL_DATA, b"OB", 0, _UNDEFINED) + _ITEM.pack(0xFFFE, 0xE000, 0)
    for frame in frames:
        yield item(frame)
    yield _ITEM.pack(0xFFFE, 0xE0DD, 0)


def _pixel_data(vr: bytes, length: int, tag: tuple[int, int] = _PIXEL_DATA) -> bytes:
    padded = length + length % 2
    if padded > _MOST:
        raise PermanentError(
            f"the pixels of one object would take {padded} bytes, more than a length of 32 bits "
            "can say: limit its frames or segments"
        )
    return _SEQUENCE.pack(*tag, vr, 0, padded)
