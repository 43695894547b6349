"""The index's elements from the first bytes of a file, without parsing the rest.

pydicom spends most of a header on elements that nobody asks for. This scanner walks over
them by their lengths and decodes the wanted ones exactly as pydicom does. It never guesses:
whatever is unusual, wrong or too far away makes it answer None, and pydicom reads the
file instead. Its work is linear in what it reads, it does not recurse, and it allocates nothing
by a length that a file declares.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from node.part10 import (
    EXPLICIT,
    LONGEST_HEAD,
    MAX_VALUE_BYTES,
    SHORT_VR,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    Unsure,
    after_file_meta,
    after_sequence,
    element_at,
    is_sequence,
    python_codec,
)
from node.store.elements import ELEMENTS, LAST_TAG, Value

WINDOW_BYTES: Final = 65536
"""Read at once. The header of a CT slice takes 2 to 8 KiB."""

MAX_WINDOWS: Final = 8
"""Read of one file, at most: long private elements are skipped, not read."""

_KEPT: Final = frozenset((*ELEMENTS, SPECIFIC_CHARACTER_SET))
_LONGEST_ELEMENT: Final = LONGEST_HEAD + MAX_VALUE_BYTES
"""That is kept: as much must be in sight, or be all there is."""

_REMEMBERED_VALUES: Final = 2048
_MOST_REMEMBERED_BYTES: Final = 128


class _Window:
    """A piece of the file that only moves forward.

    Parameters
    ----------
    size
        Bytes that it shows; fewer only at the end of the file.
    """

    def __init__(self, read_at: Callable[[int], bytes], size: int = WINDOW_BYTES) -> None:
        self._read_at = read_at
        self._size = size
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

    def look(self, offset: int) -> tuple[int, int]:
        """Move to where `offset` was if little is left behind it.

        Returns
        -------
        tuple of int
            Where `offset` is now, and up to where an element to keep is in sight, or all there
            is of it.
        """
        if len(self.bytes) - offset < _LONGEST_ELEMENT and not self.ends_the_file:
            self.move(offset)
            offset = 0
        unseen = EXPLICIT.size if self.ends_the_file else _LONGEST_ELEMENT
        return offset, len(self.bytes) - unseen

    @property
    def ends_the_file(self) -> bool:
        return len(self.bytes) < self._size


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
        return _values(window, *after_file_meta(window.bytes))
    except (Unsure, struct.error, ValueError):
        return None


def scan_beginning(beginning: bytes, offset: int, implicit: bool) -> dict[str, Value] | None:
    """Read them of a file of which only the beginning is there.

    Parameters
    ----------
    offset, implicit
        Where its data set begins, and whether its VRs are implicit.

    Returns
    -------
    dict or None
        As `scan` does; None also where elements may be further back.
    """

    def read_at(start: int) -> bytes:
        if start:
            raise Unsure
        return beginning

    try:
        return _values(_Window(read_at, len(beginning)), offset, implicit)
    except (Unsure, struct.error, ValueError):
        return None


def _values(  # noqa: C901 - a call for each element takes longer than the rest
    window: _Window, offset: int, implicit: bool
) -> dict[str, Value]:
    """Walk as far as `LAST_TAG`."""
    codec, last = "latin_1", -1
    values: dict[str, Value] = {}
    while True:
        offset, in_sight = window.look(offset)
        shown = window.bytes
        while offset <= in_sight:
            group, element, vr, length = EXPLICIT.unpack_from(shown, offset)
            tag, start = group << 16 | element, offset + 8
            if implicit or vr not in SHORT_VR:
                tag, vr, length, start = element_at(shown, offset, implicit)
            if tag > LAST_TAG:
                return values
            if tag <= last:
                raise Unsure
            last = tag
            if length == UNDEFINED:
                offset = _after_undefined(window, offset, implicit)
                break
            offset = start + length
            if tag in _KEPT:
                if length > MAX_VALUE_BYTES or offset > len(shown):
                    raise Unsure
                if tag == SPECIFIC_CHARACTER_SET:
                    codec = python_codec(shown[start:offset], vr)
                elif length:
                    read = _remembered if length <= _MOST_REMEMBERED_BYTES else _read
                    keyword, value = read(tag, vr, shown[start:offset], codec)
                    if value != "":
                        values[keyword] = value
        else:
            if window.ends_the_file:
                return values


def _read(tag: int, vr: bytes | None, value: bytes, codec: str) -> tuple[str, Value]:
    """Return keyword and value of an element."""
    element = ELEMENTS[tag]
    if vr is not None and vr != element.vr:
        raise Unsure
    return element.keyword, element.decode(value, codec)


_remembered = lru_cache(_REMEMBERED_VALUES)(_read)
"""The images of a series say most things alike. A list is one and the same each time."""


def _after_undefined(window: _Window, offset: int, implicit: bool) -> int:
    """Return where the element of undefined length at `offset` ends."""
    shown = window.bytes
    tag, vr, _, start = element_at(shown, offset, implicit)
    if tag in _KEPT or not is_sequence(shown, tag, vr, start):
        raise Unsure
    try:
        return after_sequence(shown, start, implicit)
    except (Unsure, struct.error):
        if not offset or window.ends_the_file:
            raise
    # It may only have been cut off by the end of the window.
    window.move(offset)
    return after_sequence(window.bytes, start - offset, implicit)
