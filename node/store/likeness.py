"""Reading a header by its likeness to those before it.

The images of a series differ in a dozen elements, and the rest of their headers is the same,
byte for byte. To compare that rest takes a fraction of the time that it takes to take it apart,
so what the scanner has said of the images that came before is most of what it would say of this.

A header is read here only where the scanner would walk over the same elements and say the same
of each: between the elements that are known to vary every byte is as it was, and those that
vary have the tags and VRs that they had. Anything else is left to the scanner.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from node.part10 import (
    LONGEST_HEAD,
    MAX_VALUE_BYTES,
    SHORT_VR,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    Unsure,
    after_sequence,
    element_at,
    is_sequence,
    python_codec,
)
from node.store.columns import MAX_UID_LENGTH
from node.store.elements import ELEMENTS, IDENTIFIERS, LAST_TAG, PATIENT, Element, Header

MOST_ELEMENTS: Final = 512
"""Of a header that is remembered; each takes some hundred bytes more than in the file."""
_PATIENCE: Final = 16
_MOST_PATIENCE: Final = 64
"""Headers learned in vain before no more is: at first, and after many that were of use.
To learn takes as long as to scan, and a sender may have no two images alike."""

_SOP_INSTANCE_UID: Final = "SOPInstanceUID"
_OF_A_SERIES: Final = {SPECIFIC_CHARACTER_SET} | {
    tag
    for tag, element in ELEMENTS.items()
    if element.keyword in {*IDENTIFIERS, *PATIENT} - {_SOP_INSTANCE_UID}
}
"""Where one of these differs, the images are not of one series: other things vary in each."""

_LENGTH_16: Final = struct.Struct("<H")
_LENGTH_32: Final = struct.Struct("<I")


class _Piece(NamedTuple):
    """An element in two parts: tag, VR and reserved bytes; length and value."""

    tag: int
    vr: bytes | None
    head: bytes
    rest: bytes


class _Step(NamedTuple):
    """What all have alike, as far as the length of an element that varies; and that element.

    Parameters
    ----------
    length
        How its length is encoded.
    kept
        None where nobody asks for the element: any value will do.
    """

    alike: bytes
    length: struct.Struct
    tag: int
    vr: bytes | None
    kept: Element | None


class Likeness:
    """What the images of one sender have said alike. Used by one thread.

    It holds one header, of its latest series.
    """

    def __init__(self) -> None:
        self._patience = _PATIENCE
        self._has_met_one = False
        self._implicit = False
        self._codec = ""
        self._header: Header
        self._pieces: Sequence[_Piece] = ()
        self._varying: frozenset[int] = frozenset()
        self._steps: Sequence[_Step] = ()
        self._end = b""

    def read(self, shown: bytes, offset: int, implicit: bool) -> Header | None:
        """Read the data set that begins at `offset`; None where only the scanner can tell.

        Parameters
        ----------
        shown
            The beginning of a file.
        """
        if not self._pieces or implicit is not self._implicit:
            return None
        try:
            header = self._header_of(shown, offset)
        except (Unsure, struct.error, ValueError):
            return None
        self._patience = min(self._patience + 1, _MOST_PATIENCE)
        return header

    def _header_of(self, shown: bytes, offset: int) -> Header:
        """Go from one varying element to the next; raises as the scanner does."""
        codec, last = self._codec, self._header
        sop_instance_uid, attributes = last.sop_instance_uid, dict(last.attributes)
        for alike, length_field, tag, vr, kept in self._steps:
            if not shown.startswith(alike, offset):
                raise Unsure
            offset += len(alike)
            (length,) = length_field.unpack_from(shown, offset)
            start = offset + length_field.size
            offset = start + length
            if kept is not None:
                # An empty one is absent, and its keyword would have to go: let the scanner.
                if not 0 < length <= MAX_VALUE_BYTES:
                    raise Unsure
                value = kept.decode(shown[start:offset], codec)
                if value == "":
                    raise Unsure
                if kept.keyword == _SOP_INSTANCE_UID:
                    sop_instance_uid = str(value)
                else:
                    attributes[kept.keyword] = value
            elif length == UNDEFINED:
                offset = _after_items(shown, tag, vr, start)
        # All of it must be as far in sight as the scanner wants each element to be.
        if not shown.startswith(self._end, offset) or offset + len(self._end) > _in_sight(shown):
            raise Unsure
        if len(sop_instance_uid) > MAX_UID_LENGTH:
            raise Unsure
        return Header(
            last.study_instance_uid,
            last.series_instance_uid,
            sop_instance_uid,
            last.sop_class_uid,
            attributes,
            last.patient,
        )

    def learn(self, shown: bytes, offset: int, implicit: bool, header: Header) -> None:
        """Remember a data set and what the scanner has said of it.

        Nothing is learned of the first one: many senders open an association for each image.
        """
        if not self._has_met_one or not self._patience:
            self._has_met_one = True
            return
        self._patience -= 1
        try:
            pieces = _pieces(shown, offset, implicit)
        except (Unsure, struct.error):
            return
        self._varying = self._varying_with(pieces)
        self._pieces, self._implicit, self._header = pieces, implicit, header
        self._codec = _codec(pieces)
        self._steps, self._end = _steps(pieces, self._varying)

    def _varying_with(self, pieces: Sequence[_Piece]) -> frozenset[int]:
        """Which elements vary inside a series, now that there is one more image."""
        if [one.head for one in pieces] != [one.head for one in self._pieces]:
            return frozenset()
        differing = {
            number
            for number, (one, other) in enumerate(zip(pieces, self._pieces, strict=True))
            if one.rest != other.rest
        }
        if any(pieces[number].tag in _OF_A_SERIES for number in differing):
            return self._varying
        return self._varying | differing


def _pieces(shown: bytes, offset: int, implicit: bool) -> list[_Piece]:
    """Take apart what the scanner has walked over; the last piece is what it stops at.

    Raises
    ------
    Unsure, struct.error
        If it is too much to be remembered, or not all in sight.
    """
    pieces: list[_Piece] = []
    in_sight = _in_sight(shown)
    while offset <= in_sight and len(pieces) < MOST_ELEMENTS:
        tag, vr, length, start = element_at(shown, offset, implicit)
        length_at = start - (2 if vr in SHORT_VR else 4)
        head = shown[offset:length_at]
        if tag > LAST_TAG:
            pieces.append(_Piece(tag, vr, head, b""))
            return pieces
        undefined = length == UNDEFINED
        offset = _after_items(shown, tag, vr, start) if undefined else start + length
        pieces.append(_Piece(tag, vr, head, shown[length_at:offset]))
    raise Unsure


def _steps(pieces: Sequence[_Piece], varying: frozenset[int]) -> tuple[list[_Step], bytes]:
    """Join what is alike; return the steps, and what follows the last one."""
    steps = []
    alike: list[bytes] = []
    for number, piece in enumerate(pieces):
        alike.append(piece.head)
        if number in varying:
            length = _LENGTH_16 if piece.vr in SHORT_VR else _LENGTH_32
            kept = ELEMENTS.get(piece.tag)
            steps.append(_Step(b"".join(alike), length, piece.tag, piece.vr, kept))
            alike = []
        else:
            alike.append(piece.rest)
    return steps, b"".join(alike)


def _codec(pieces: Sequence[_Piece]) -> str:
    """Return the codec of the texts, as the scanner finds it."""
    for piece in pieces:
        if piece.tag == SPECIFIC_CHARACTER_SET:
            value = piece.rest[2:] if piece.vr in SHORT_VR else piece.rest[4:]
            return python_codec(value, piece.vr)
    return python_codec(b"", None)


def _after_items(shown: bytes, tag: int, vr: bytes | None, start: int) -> int:
    """Return where the sequence of undefined length ends whose value begins at `start`."""
    if not is_sequence(shown, tag, vr, start):
        raise Unsure
    return after_sequence(shown, start, vr is None)


def _in_sight(shown: bytes) -> int:
    """Up to where an element that is kept is all there, whatever its length."""
    return len(shown) - LONGEST_HEAD - MAX_VALUE_BYTES
