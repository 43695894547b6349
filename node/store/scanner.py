"""The index's elements from the first bytes of a file, without parsing the rest.

pydicom spends most of a header on elements that nobody asks for. This scanner walks over
them by their lengths and decodes the wanted ones exactly as pydicom does. It never guesses:
whatever is unusual, wrong or too far away makes it answer None, and pydicom reads the
file instead. Its work is linear in what it reads, it does not recurse, and it allocates nothing
by a length that a file declares.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR

from node.store.elements import (
    ELEMENTS,
    LAST_TAG,
    MAX_VALUE_BYTES,
    SPECIFIC_CHARACTER_SET,
    Unsure,
    Value,
    python_codec,
)

WINDOW_BYTES: Final = 65536
"""Read at once. The header of a CT slice takes 2 to 8 KiB."""

MAX_WINDOWS: Final = 8
"""Read of one file, at most: long private elements are skipped, not read."""

MAX_DEPTH: Final = 32
"""Of sequences in sequences; pydicom, which recurses, gives up at some hundreds."""

_PREFIX: Final = 132
_GROUP_LENGTH: Final = b"\x02\x00\x00\x00UL\x04\x00"
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_IMPLICIT_VR_LITTLE_ENDIAN: Final = b"1.2.840.10008.1.2"
_NOT_SCANNED: Final = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Explicit VR Big Endian and Deflated Explicit VR Little Endian."""

_EXPLICIT: Final = struct.Struct("<HH2sH")
_IMPLICIT: Final = struct.Struct("<HHI")
_LENGTH: Final = struct.Struct("<I")
_LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VR: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
"""VRs with a length field of 32 and of 16 bits (PS3.5 Section 7.1.2)."""

_KEPT: Final = frozenset((*ELEMENTS, SPECIFIC_CHARACTER_SET))
_LONGEST_ELEMENT: Final = 12 + MAX_VALUE_BYTES
"""That is kept: as much must be in sight, or be all there is."""

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = 0xFFFEE000
_DELIMITERS: Final = 0xFFFE0000
_SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
_ITEM_TAG: Final = b"\xfe\xff\x00\xe0"
_ITEM_DELIMITATION: Final = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"


class _Window:
    """A piece of the file that only moves forward.

    Attributes
    ----------
    bytes
        What it shows; the file ends with it if that is less than `WINDOW_BYTES`.
    """

    def __init__(self, read_at: Callable[[int], bytes]) -> None:
        self._read_at = read_at
        self._start = 0
        self._moves_left = MAX_WINDOWS
        self.bytes = b""
        self.move(0)

    def move(self, offset: int) -> None:
        """Let it begin where `offset` was."""
        if not self._moves_left:
            raise Unsure
        self._moves_left -= 1
        self._start += offset
        self.bytes = self._read_at(self._start)

    @property
    def ends_the_file(self) -> bool:
        return len(self.bytes) < WINDOW_BYTES


def scan(read_at: Callable[[int], bytes]) -> dict[str, Value] | None:
    """Read the index's elements of a DICOM file.

    Parameters
    ----------
    read_at
        Gives `WINDOW_BYTES` of the file from an offset on, fewer only at its end. It is
        called at most `MAX_WINDOWS` times.

    Returns
    -------
    dict or None
        By keyword; empty elements are absent. None where only a full parser can tell.

    Raises
    ------
    OSError
        If `read_at` does.
    """
    try:
        window = _Window(read_at)
        offset, implicit = _after_file_meta(window.bytes)
        return _wanted(window, offset, implicit)
    except (Unsure, struct.error, ValueError):
        return None


def _after_file_meta(window: bytes) -> tuple[int, bool]:
    """Return where the data set begins, and whether its VRs are implicit."""
    if window[_PREFIX - 4 : _PREFIX + 8] != b"DICM" + _GROUP_LENGTH:
        raise Unsure
    offset, last, transfer_syntax_uid = _PREFIX, -1, b""
    while window[offset : offset + 2] == b"\x02\x00":
        tag, _, length, start = _element_at(window, offset, False)
        offset = start + length
        if tag <= last or offset > len(window):
            raise Unsure
        last = tag
        if tag == _TRANSFER_SYNTAX_UID:
            transfer_syntax_uid = window[start:offset].rstrip(b"\0 ")
    if not transfer_syntax_uid or transfer_syntax_uid.translate(None, b"0123456789."):
        raise Unsure
    if transfer_syntax_uid in _NOT_SCANNED:
        raise Unsure
    implicit = transfer_syntax_uid == _IMPLICIT_VR_LITTLE_ENDIAN
    # Files that deny their transfer syntax exist; pydicom knows how to read those.
    if window[offset : offset + 2] == b"\x00\x00" or implicit == _shows_a_vr(window, offset):
        raise Unsure
    return offset, implicit


def _wanted(window: _Window, offset: int, implicit: bool) -> dict[str, Value]:
    codec = "latin_1"
    values: dict[str, Value] = {}
    for tag, vr, value in _kept(window, offset, implicit):
        if tag == SPECIFIC_CHARACTER_SET:
            codec = python_codec(value, vr)
            continue
        element = ELEMENTS[tag]
        if vr not in (None, element.vr):
            raise Unsure
        if value and (decoded := element.decode(value, codec)) != "":
            values[element.keyword] = decoded
    return values


def _kept(
    window: _Window, offset: int, implicit: bool
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Yield tag, VR and value of the elements to keep, in order, as far as `LAST_TAG`."""
    last = -1
    while True:
        if len(window.bytes) - offset < _LONGEST_ELEMENT and not window.ends_the_file:
            window.move(offset)
            offset = 0
        shown = window.bytes
        if len(shown) - offset < _EXPLICIT.size:
            return
        tag, vr, length, start = _element_at(shown, offset, implicit)
        if tag > LAST_TAG:
            return
        if tag <= last:
            raise Unsure
        last = tag
        if length == _UNDEFINED:
            offset = _after_undefined(window, offset, implicit)
            continue
        offset = start + length
        if tag in _KEPT:
            if length > MAX_VALUE_BYTES or offset > len(shown):
                raise Unsure
            yield tag, vr, shown[start:offset]


def _after_undefined(window: _Window, offset: int, implicit: bool) -> int:
    """Return where the element of undefined length at `offset` ends."""
    shown = window.bytes
    tag, vr, _, start = _element_at(shown, offset, implicit)
    if tag in _KEPT or not _is_sequence(shown, tag, vr, start):
        raise Unsure
    try:
        return _after_sequence(shown, start, implicit)
    except (Unsure, struct.error):
        if not offset or window.ends_the_file:
            raise
    # It may only have been cut off by the end of the window.
    window.move(offset)
    return _after_sequence(window.bytes, start - offset, implicit)


def _element_at(window: bytes, offset: int, implicit: bool) -> tuple[int, bytes | None, int, int]:
    """Return tag, VR, length and start of the value."""
    if implicit:
        group, element, length = _IMPLICIT.unpack_from(window, offset)
        return group << 16 | element, None, length, offset + 8
    group, element, vr, length = _EXPLICIT.unpack_from(window, offset)
    if vr in _SHORT_VR:
        return group << 16 | element, vr, length, offset + 8
    if vr not in _LONG_VR:
        raise Unsure
    (length,) = _LENGTH.unpack_from(window, offset + 8)
    return group << 16 | element, vr, length, offset + 12


def _shows_a_vr(window: bytes, offset: int) -> bool:
    """Whether the element has two capital letters where its explicit VR would stand."""
    vr = window[offset + 4 : offset + 6]
    return len(vr) == 2 and 0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B


def _is_sequence(window: bytes, tag: int, vr: bytes | None, start: int) -> bool:
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


def _after_sequence(window: bytes, offset: int, implicit: bool) -> int:
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
    tag, _, length, offset = _element_at(window, offset, True)
    if tag == _ITEM:
        end = None if length == _UNDEFINED else offset + length
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
        tag, vr, length, start = _element_at(window, offset, item.implicit)
        if tag >= _DELIMITERS:
            raise Unsure
        if length == _UNDEFINED:
            if not _is_sequence(window, tag, vr, start):
                raise Unsure
            return start, False
        offset = start + length
        if offset > size or (end is not None and offset > end):
            raise Unsure
        if tag == SPECIFIC_CHARACTER_SET:
            python_codec(window[start:offset], vr)
    return offset, True
