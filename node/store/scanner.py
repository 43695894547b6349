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
from functools import lru_cache
from typing import Final

from node.part10 import (
    EXPLICIT,
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
_LONGEST_ELEMENT: Final = 12 + MAX_VALUE_BYTES
"""That is kept: as much must be in sight, or be all there is."""

_REMEMBERED_VALUES: Final = 2048
_MOST_REMEMBERED_BYTES: Final = 128


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
        offset, implicit = after_file_meta(window.bytes)
        return _wanted(window, offset, implicit)
    except (Unsure, struct.error, ValueError):
        return None


def _wanted(window: _Window, offset: int, implicit: bool) -> dict[str, Value]:
    codec = "latin_1"
    values: dict[str, Value] = {}
    for tag, vr, value in _kept(window, offset, implicit):
        if tag == SPECIFIC_CHARACTER_SET:
            codec = python_codec(value, vr)
            continue
        element = ELEMENTS[tag]
        if vr is not None and vr != element.vr:
            raise Unsure
        if value:
            decode = _decoded if len(value) <= _MOST_REMEMBERED_BYTES else _decode
            if (decoded := decode(tag, value, codec)) != "":
                values[element.keyword] = decoded
    return values


def _decode(tag: int, value: bytes, codec: str) -> Value:
    return ELEMENTS[tag].decode(value, codec)


_decoded = lru_cache(_REMEMBERED_VALUES)(_decode)
"""The images of a series say most things alike. A list is one and the same each time."""


def _kept(
    window: _Window, offset: int, implicit: bool
) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Yield tag, VR and value of the elements to keep, in order, as far as `LAST_TAG`."""
    last = -1
    while True:
        offset, in_sight = window.look(offset)
        shown = window.bytes
        # Unpacked here where it can be: a call for each element takes longer than the rest.
        while offset <= in_sight:
            group, element, vr, length = EXPLICIT.unpack_from(shown, offset)
            tag, start = group << 16 | element, offset + 8
            if implicit or vr not in SHORT_VR:
                tag, vr, length, start = element_at(shown, offset, implicit)
            if tag > LAST_TAG:
                return
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
                yield tag, vr, shown[start:offset]
        else:
            if window.ends_the_file:
                return


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
