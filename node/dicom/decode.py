"""Compressed frames → stored values, by the decoder that was measured to be the fastest.

`benchmarks/series_reading.py` compares them: imagecodecs is ahead for every transfer syntax
here, and lets other threads run meanwhile. pydicom's decoders do the rest: other syntaxes,
codestreams whose precision or sign is not that of the header, and frames that fail here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from engines.types import Array
from node.dicom.codestream import Codestream, check_codestream, read_codestream
from node.dicom.header import number

_DECODERS: Final[Mapping[str, Callable[[bytes], Array]]] = {
    uid.JPEGBaseline8Bit: imagecodecs.jpeg8_decode,
    uid.JPEGExtended12Bit: imagecodecs.jpeg8_decode,
    uid.JPEGLossless: imagecodecs.jpeg8_decode,
    uid.JPEGLosslessSV1: imagecodecs.jpeg8_decode,
    uid.JPEGLSLossless: imagecodecs.jpegls_decode,
    uid.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: imagecodecs.jpeg2k_decode,
    uid.HTJ2KLossless: imagecodecs.htj2k_decode,
    uid.HTJ2KLosslessRPCL: imagecodecs.htj2k_decode,
    uid.HTJ2K: imagecodecs.htj2k_decode,
}
_MOST_PER_RUN: Final = 64
"""Bytes that one byte of RLE can become, or nearly (PS3.5 Section G.3.1)."""


def decodes(transfer_syntax_uid: str, header: Dataset) -> bool:
    """Whether `decode` is for such an image at all."""
    allocated, stored = number(header, "BitsAllocated"), number(header, "BitsStored")
    high = number(header, "HighBit")
    return (
        (transfer_syntax_uid in _DECODERS or transfer_syntax_uid == uid.RLELossless)
        and allocated in (8, 16)
        and stored is not None
        and high == stored - 1 < allocated
    )


def decode(frame: bytes, transfer_syntax_uid: str, header: Dataset) -> Array | None:
    """Decode one frame of an image that `decodes` is true of.

    Returns
    -------
    ndarray or None
        uint8, int8, uint16 or int16 by BitsAllocated and PixelRepresentation, shape
        (Rows, Columns), the unused bits of RLE as they were written. None where the frame is
        for pydicom to decode, or to refuse.

    Raises
    ------
    PermanentError
        If the codestream is truncated, or claims another size than the header; nothing is
        allocated by such a claim.
    """
    shape = int(header.Rows), int(header.Columns)
    bits = int(header.BitsAllocated)
    signed = number(header, "PixelRepresentation") == 1
    container = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    try:
        if transfer_syntax_uid == uid.RLELossless:
            return _run_lengths(frame, shape, container)
        check_codestream(frame, *shape)
        codestream = read_codestream(frame)
        if codestream is None or not _as_the_header(codestream, header, signed=signed):
            return None
        values = np.asarray(_DECODERS[transfer_syntax_uid](frame))
    except (RuntimeError, ValueError, TypeError):  # of any codec, on damaged frames
        return None
    if values.shape != shape or values.dtype.kind not in "iu" or values.dtype.itemsize > bits // 8:
        return None
    values = values.astype(container, copy=False)
    unused = bits - int(header.BitsStored)
    return (values << unused) >> unused if unused else values


def _as_the_header(codestream: Codestream, header: Dataset, *, signed: bool) -> bool:
    """Whether the samples are the stored values, or whole containers with them."""
    agrees = codestream.signed is None or codestream.signed == signed
    return agrees and codestream.precision in (int(header.BitsStored), int(header.BitsAllocated))


def _run_lengths(
    frame: bytes, shape: tuple[int, int], container: np.dtype[np.integer]
) -> Array | None:
    size = shape[0] * shape[1] * container.itemsize
    if size > _MOST_PER_RUN * len(frame):
        return None  # it cannot be whole
    values = np.frombuffer(imagecodecs.dicomrle_decode(frame, container), container)
    return values.reshape(shape) if values.nbytes == size else None
