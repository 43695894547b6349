"""Frames → PixelData in the transfer syntax that a destination wants (PS3.5 Sections 8.2, A.4).

One frame at a time, so that those of an object are never in memory together. The encoders are
those of imagecodecs. More threads have not made JPEG 2000 faster where it was measured.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from engines.types import Array
from node.encode.stream import encapsulated, native

_WRITTEN = (RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian)
_RLE_HEADER = struct.Struct("<16I")
"""Number of segments, and where each begins (PS3.5 Section G.5)."""


def usable_syntax(wanted: str) -> UID:
    """Name the transfer syntax in which frames are written where this one is asked for."""
    return UID(wanted) if wanted in _WRITTEN else ExplicitVRLittleEndian


def declare(dataset: Dataset, syntax: UID) -> None:
    """Say in a header how its frames are compressed; it describes native ones so far.

    JPEG 2000 turns RGB reversibly into luminance and chrominance (PS3.5 Section 8.2.4). RLE,
    which has a segment for each colour, leaves *PlanarConfiguration* as it is: True Color
    Secondary Capture allows 0 only (PS3.3 Section A.8.5.4).
    """
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == JPEG2000Lossless and dataset.SamplesPerPixel == 3:
        dataset.PhotometricInterpretation = "YBR_RCT"


def pixel_data(
    frames: Iterable[Array], length: int, syntax: UID, bits_allocated: int = 8
) -> Iterator[bytes]:
    """Encode PixelData piece by piece.

    Parameters
    ----------
    frames
        uint8 or int16, axes (row, column) or, of RGB, (row, column, sample).
    length
        Bytes of all frames together, as they are.
    syntax
        One that `usable_syntax` gives.
    """
    if syntax == RLELossless:
        return encapsulated(map(run_lengths, frames))
    if syntax == JPEG2000Lossless:
        return encapsulated(map(_jpeg2000, frames))
    return native(frames, length, bits_allocated)


def run_lengths(frame: Array) -> bytes:
    """Encode a frame in RLE Lossless (PS3.5 Annex G): a segment for each byte of a sample.

    Segments begin with the most significant byte; no run crosses a row.
    """
    big_endian = frame.astype(frame.dtype.newbyteorder(">"), copy=False)
    planes = np.ascontiguousarray(big_endian).view(np.uint8).reshape(*frame.shape[:2], -1)
    segments = [
        _even(imagecodecs.packbits_encode(np.ascontiguousarray(planes[..., n]), axis=-1))
        for n in range(planes.shape[-1])
    ]
    starts = [_RLE_HEADER.size]
    for segment in segments[:-1]:
        starts.append(starts[-1] + len(segment))
    unused = [0] * (15 - len(starts))
    return _RLE_HEADER.pack(len(segments), *starts, *unused) + b"".join(segments)


def _jpeg2000(frame: Array) -> bytes:
    """Encode a frame without loss as a bare codestream (PS3.5 Section A.4.4)."""
    return _even(
        imagecodecs.jpeg2k_encode(frame, level=0, codecformat="J2K", reversible=True, mct=True)
    )


def _even(content: bytes | bytearray) -> bytes:
    return bytes(content) + b"\0" * (len(content) % 2)
