"""Look at a compressed frame before a codec does.

The codecs fill a truncated JPEG or JPEG-LS frame with zeros and say nothing, and allocate
what the codestream claims, whatever Rows and Columns say. Both are found here, cheaply.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from node.errors import PermanentError

_JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ (ISO/IEC 15444-1 Section A.5.1)
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_NOT_FRAME_HEADERS = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC lie among the SOF markers
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST0 … RST7, SOI


class Codestream(NamedTuple):
    """What a codestream says of itself.

    Parameters
    ----------
    precision
        Bits of a sample.
    signed
        None where the codec does not know signs: JPEG and JPEG-LS.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool | None


def check_codestream(frame: bytes, rows: int, columns: int) -> None:
    """Check that a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame is whole and of the right size.

    Parameters
    ----------
    frame
        One frame, out of its fragments; trailing padding is allowed.
    rows, columns
        As the header says.

    Raises
    ------
    PermanentError
        If the end marker is missing, or if the codestream has other dimensions, or more
        than one component. The message says what was found.
    """
    found = read_codestream(frame)
    if found is None:
        raise PermanentError("the compressed frame has no JPEG frame header")
    if found[:3] != (rows, columns, 1):
        raise PermanentError(
            f"the compressed frame has {found[0]} rows, {found[1]} columns and {found[2]} "
            f"components; expected Rows {rows}, Columns {columns} and 1"
        )
    if not frame.rstrip(b"\x00\xff").endswith(_END):
        raise PermanentError("the compressed frame is truncated: its end marker is missing")


def read_codestream(frame: bytes) -> Codestream | None:
    """Read the header of a codestream; None where it has none."""
    start = frame.find(_JPEG_2000_START, 0, 4096)  # not 0 where wrapped as a JP2 file
    if start >= 0 and len(frame) >= start + 43:
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        components, depth = struct.unpack_from(">HB", frame, start + 40)
        signed, precision = bool(depth & 0x80), (depth & 0x7F) + 1
        return Codestream(bottom - top, right - left, components, precision, signed)
    return _jpeg_header(frame)


def _jpeg_header(frame: bytes) -> Codestream | None:
    """Walk the marker segments up to the first SOF (ISO/IEC 10918-1 Section B.2.2)."""
    position = 0
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in _WITHOUT_LENGTH:
            position += 2
        elif marker == 0xFF:  # fill byte
            position += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS):
            precision, rows, columns, components = struct.unpack_from(">BHHB", frame, position + 4)
            return Codestream(rows, columns, components, precision, None)
        else:
            position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None
