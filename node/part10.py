"""Walking over encoded data elements by their lengths (PS3.5 Section 7, PS3.10 Section 7).

What reads headers faster than pydicom goes by this. It never guesses: whatever is unusual or
wrong raises `Unsure`, and pydicom reads the file instead. The work is linear in what is read,
nothing recurses, and nothing is allocated by a length that a file declares.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR

MAX_VALUE_BYTES: Final = 4096
"""Longer values count as absent: the longest legal one of a code or a name has some 300."""

SPECIFIC_CHARACTER_SET: Final = 0x00080005

UNDEFINED: Final = 0xFFFFFFFF
"""Length of what ends with a delimiter."""

MAX_DEPTH: Final = 32
"""Of sequences in sequences; pydicom, which recurses, gives up at some hundreds."""

LONGEST_HEAD: Final = 12
"""Bytes of an element before its value, at most: of an explicit VR with a 32-bit length."""

EXPLICIT: Final = struct.Struct("<HH2sH")
_IMPLICIT: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")
_PREFIX: Final = 132
_GROUP_LENGTH: Final = b"\x02\x00\x00\x00UL\x04\x00"
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_IMPLICIT_VR_LITTLE_ENDIAN: Final = b"1.2.840.10008.1.2"
_NOT_WALKED: Final = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Explicit VR Big Endian and Deflated Explicit VR Little Endian."""

LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
"""VRs with a length field of 32 and of 16 bits (PS3.5 Section 7.1.2)."""

_ITEM: Final = 0xFFFEE000
_DELIMITERS: Final = 0xFFFE0000
_SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
_ITEM_TAG: Final = b"\xfe\xff\x00\xe0"
_ITEM_DELIMITATION: Final = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"


class Unsure(Exception):  # noqa: N818 - no error: pydicom reads the file instead
    """The scanner cannot promise to read the file as pydicom does."""


def python_codec(value: bytes, vr: bytes | None) -> str:
    """Return Python's name of the codec of text without escape sequences.

    Parameters
    ----------
    value
        SpecificCharacterSet (0008,0005) as it is encoded; where it has several values, the
        first rules until an escape sequence (PS3.5 Section 6.1.2.5).
    vr
        None in implicit VR.
    """
    if vr not in (None, b"CS") or len(value) > MAX_VALUE_BYTES:
        raise Unsure
    terms = value.decode("latin_1").rstrip(" \0").split("\\")
    if any(term not in python_encoding for term in terms):
        raise Unsure
    return python_encoding[terms[0]]


def after_file_meta(window: bytes) -> tuple[int, bool]:
    """Return where the data set begins, and whether its VRs are implicit."""
    if window[_PREFIX - 4 : _PREFIX + 8] != b"DICM" + _GROUP_LENGTH:
        raise Unsure
    offset, last, transfer_syntax_uid = _PREFIX, -1, b""
    while window[offset : offset + 2] == b"\x02\x00":
        tag, _, length, start = element_at(window, offset, False)
        offset = start + length
        if tag <= last or offset > len(window):
            raise Unsure
        last = tag
        if tag == _TRANSFER_SYNTAX_UID:
            transfer_syntax_uid = window[start:offset].rstrip(b"\0 ")
    return offset, are_implicit(window, offset, transfer_syntax_uid)


def are_implicit(window: bytes, offset: int, transfer_syntax_uid: bytes) -> bool:
    """Return whether the VRs are implicit in the data set that begins at `offset`."""
    if not transfer_syntax_uid or transfer_syntax_uid.translate(None, b"0123456789."):
        raise Unsure
    if transfer_syntax_uid in _NOT_WALKED:
        raise Unsure
    implicit = transfer_syntax_uid == _IMPLICIT_VR_LITTLE_ENDIAN
    # Files that deny their transfer syntax exist; pydicom knows how to read those.
    if window[offset : offset + 2] == b"\x00\x00" or implicit == _shows_a_vr(window, offset):
        raise Unsure
    return implicit


def element_at(window: bytes, offset: int, implicit: bool) -> tuple[int, bytes | None, int, int]:
    """Return tag, VR, length and start of the value."""
    if implicit:
        group, element, length = _IMPLICIT.unpack_from(window, offset)
        return group << 16 | element, None, length, offset + 8
    group, element, vr, length = EXPLICIT.unpack_from(window, offset)
    if vr in SHORT_VR:
        return group << 16 | element, vr, length, offset + 8
    if vr not in LONG_VR:
        raise Unsure
    (length,) = _LENGTH.unpack_from(window, offset + 8)
    return group << 16 | element, vr, length, offset + 12


def _shows_a_vr(window: bytes, offset: int) -> bool:
    """Whether the element has two capital letters where its explicit VR would stand."""
    vr = window[offset + 4 : offset + 6]
    return len(vr) == 2 and 0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B


def is_sequence(window: bytes, tag: int, vr: bytes | None, start: int) -> bool:
    """Whether a value of undefined length consists of items (PS3.5 Section 6.2.2)."""
    if vr is not None:
        return vr in (b"SQ", b"UN")
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return window[start : start + 4] == _ITEM_TAG


class _Item(NamedTuple):
    end: int | None
    implicit: bool


def after_sequence(window: bytes, offset: int, implicit: bool) -> int:
    """Return where the sequence of undefined length ends whose first item is at `offset`.

    Items are walked element by element: a delimiter's bytes may stand in any value.
    """
    items: list[_Item] = []
    while True:
        opened, offset = _item_at(window, offset, items[-1].implicit if items else implicit)
        if opened is not None:
            items.append(opened)
        elif not items:
            return offset
        if len(items) > MAX_DEPTH:
            raise Unsure
        offset, ended = _through(items[-1], window, offset)
        if ended:
            items.pop()


def _item_at(window: bytes, offset: int, implicit: bool) -> tuple[_Item | None, int]:
    """Return the item that begins, None where the sequence ends, and what follows the tag."""
    tag, _, length, offset = element_at(window, offset, True)
    if tag == _ITEM:
        end = None if length == UNDEFINED else offset + length
        # In a sequence of VR UN the items are implicit, whatever is around it.
        return _Item(end, implicit or not _shows_a_vr(window, offset)), offset
    if tag != _SEQUENCE_DELIMITATION or length:
        raise Unsure
    return None, offset


def _through(item: _Item, window: bytes, offset: int) -> tuple[int, bool]:
    """Go to where the item ends, or to the first item of a sequence in it; say if it ended."""
    end, size = item.end, len(window)
    while offset != end:
        if end is None and window[offset : offset + 8] == _ITEM_DELIMITATION:
            return offset + 8, True
        tag, vr, length, start = element_at(window, offset, item.implicit)
        if tag >= _DELIMITERS:
            raise Unsure
        if length == UNDEFINED:
            if not is_sequence(window, tag, vr, start):
                raise Unsure
            return start, False
        offset = start + length
        if offset > size or (end is not None and offset > end):
            raise Unsure
        if tag == SPECIFIC_CHARACTER_SET:
            python_codec(window[start:offset], vr)
    return offset, True
