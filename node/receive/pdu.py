"""The stream of PDUs of an open association (PS3.8 Section 9.3), taken apart without a copy.

Pure: bytes in, events out. Whatever the network makes of the stream, one byte at a time or
many PDUs at once, the events say the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from node.dimse import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    IS_COMMAND,
    IS_LAST,
    P_DATA_TF,
    RELEASE_RP,
    RELEASE_RQ,
)
from node.errors import ProtocolError

UNRECOGNIZED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
INVALID_PARAMETER: Final = 6
"""Reasons of an A-ABORT by the service provider (PS3.8 Section 9.3.8)."""

PDU_HEADER: Final = struct.Struct(">BxI")
_PDV_HEADER: Final = struct.Struct(">IBB")
_PDU_OF_ONE_PDV: Final = struct.Struct(">BxIIBB")
_CONTROL_LENGTH: Final = 4
_ANY_LENGTH: Final = 65536


class Fragment(NamedTuple):
    """A piece of a command set or data set.

    Parameters
    ----------
    is_last
        The command set or data set ends with this piece.
    at, size
        First byte in the memory that was fed, and number of bytes.
    """

    context_id: int
    is_command: bool
    is_last: bool
    at: int
    size: int


class Control(NamedTuple):
    """A whole A-RELEASE-RQ, A-RELEASE-RP or A-ABORT."""

    pdu_type: int


PduEvent: TypeAlias = Fragment | Control


class PduReader:
    """Takes the stream of one association apart.

    Parameters
    ----------
    max_pdu_bytes
        Maximum length that was negotiated; a longer P-DATA-TF breaks the protocol.

    Attributes
    ----------
    progress
        Counts the beginnings and ends of PDUs: while it stands still, the stream is silent or
        in the middle of a PDU.
    """

    def __init__(self, max_pdu_bytes: int) -> None:
        self.progress = 0
        self._max_pdu_bytes = max_pdu_bytes
        self._header = bytearray()
        self._in_pdu = False
        self._pdu_left = 0
        self._control = 0
        self._in_pdv = False
        self._pdv_left = 0
        self._context_id = 0
        self._flags = 0

    @property
    def is_between_pdus(self) -> bool:
        """Whether the stream stands at the end of a PDU."""
        return not self._in_pdu and not self._header

    def feed(self, data: memoryview, begin: int = 0, end: int | None = None) -> Iterator[PduEvent]:
        """Yield what the next bytes of the stream hold; the iterator must be used up.

        Parameters
        ----------
        begin, end
            Which part of `data` they are; left out: all of it.

        Raises
        ------
        ProtocolError
            If the stream cannot go on: an unknown or unexpected PDU, a length that does not
            fit. What came before it has been yielded.
        """
        at = begin
        end = len(data) if end is None else end
        while at < end:
            if self._in_pdv:
                taken = min(self._pdv_left, end - at)
                yield self._fragment(at, taken)
                at += taken
            elif self._control:
                taken = min(self._pdu_left, end - at)
                self._pdu_left -= taken
                at += taken
                if not self._pdu_left:
                    yield self._end_control()
            elif self._in_pdu:
                self._expect_pdv()
                at = self._take_header(data, at, end, _PDV_HEADER.size)
                if len(self._header) == _PDV_HEADER.size:
                    self._begin_pdv()
                    if not self._pdv_left:
                        yield self._fragment(at, 0)
            elif not self._header and (fragment := self._plain_pdu(data, at, end)) is not None:
                yield fragment
                at = fragment.at + fragment.size
            else:
                at = self._take_header(data, at, end, PDU_HEADER.size)
                if len(self._header) == PDU_HEADER.size:
                    self._begin_pdu()

    def _plain_pdu(self, data: memoryview, at: int, end: int) -> Fragment | None:
        """Take a PDU that is as nearly all are, with one value, as far as it is there.

        Anything else, an empty value and wrong lengths too, is left to the slower way, which
        says what is wrong.
        """
        at += _PDU_OF_ONE_PDV.size
        if at >= end:
            return None
        pdu_type, pdu_length, length, context_id, flags = _PDU_OF_ONE_PDV.unpack_from(
            data, at - _PDU_OF_ONE_PDV.size
        )
        size = length - 2
        if (
            pdu_type != P_DATA_TF
            or length + 4 != pdu_length
            or size <= 0
            or pdu_length > self._max_pdu_bytes
        ):
            return None
        if at + size <= end:
            self.progress += 2
            is_last = bool(flags & IS_LAST)
            return Fragment(context_id, bool(flags & IS_COMMAND), is_last, at, size)
        self.progress += 1
        self._context_id, self._flags = context_id, flags
        self._pdu_left = self._pdv_left = size
        self._in_pdu = self._in_pdv = True
        return self._fragment(at, end - at)

    def _take_header(self, data: memoryview, at: int, end: int, size: int) -> int:
        taken = min(size - len(self._header), end - at)
        self._header += data[at : at + taken]
        return at + taken

    def _begin_pdu(self) -> None:
        pdu_type, length = PDU_HEADER.unpack(self._header)
        self._header.clear()
        self.progress += 1
        if pdu_type == P_DATA_TF:
            if length > self._max_pdu_bytes:
                raise ProtocolError(
                    INVALID_PARAMETER,
                    f"a P-DATA-TF PDU of {length} bytes; the maximum length negotiated is "
                    f"{self._max_pdu_bytes}",
                )
            if length < _PDV_HEADER.size:
                raise ProtocolError(
                    INVALID_PARAMETER, f"a P-DATA-TF PDU of {length} bytes has no room for a value"
                )
            self._in_pdu = True
            self._pdu_left = length
        elif pdu_type in (RELEASE_RQ, RELEASE_RP, ABORT):
            if length != _CONTROL_LENGTH:
                raise ProtocolError(
                    INVALID_PARAMETER, f"a PDU of type {pdu_type:#04x} with {length} bytes, not 4"
                )
            self._in_pdu = True
            self._control = pdu_type
            self._pdu_left = length
        elif pdu_type in (ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ):
            raise ProtocolError(
                UNEXPECTED_PDU, f"a PDU of type {pdu_type:#04x} in an open association"
            )
        else:
            raise ProtocolError(UNRECOGNIZED_PDU, f"a PDU of unknown type {pdu_type:#04x}")

    def _expect_pdv(self) -> None:
        if self._pdu_left < _PDV_HEADER.size:
            raise ProtocolError(
                INVALID_PARAMETER,
                f"{self._pdu_left} bytes at the end of a PDU belong to no value",
            )

    def _begin_pdv(self) -> None:
        length, self._context_id, self._flags = _PDV_HEADER.unpack(self._header)
        self._header.clear()
        # The item's length counts context ID and message control header (PS3.8 Table 9-23).
        self._pdv_left = length - 2
        self._pdu_left -= _PDV_HEADER.size
        if length < 2 or self._pdv_left > self._pdu_left:
            raise ProtocolError(
                INVALID_PARAMETER,
                f"a presentation data value of {length} bytes in a PDU that has "
                f"{self._pdu_left + 2} left",
            )
        self._in_pdv = True

    def _fragment(self, at: int, size: int) -> Fragment:
        self._pdv_left -= size
        self._pdu_left -= size
        ends = not self._pdv_left
        if ends:
            self._in_pdv = False
            if not self._pdu_left:
                self._in_pdu = False
                self.progress += 1
        is_last = ends and bool(self._flags & IS_LAST)
        return Fragment(self._context_id, bool(self._flags & IS_COMMAND), is_last, at, size)

    def _end_control(self) -> Control:
        control = Control(self._control)
        self._control = 0
        self._in_pdu = False
        self.progress += 1
        return control


def abort(source: int, reason: int) -> bytes:
    """Encode an A-ABORT (PS3.8 Section 9.3.8): source 0 the user, 2 the provider."""
    return struct.pack(">BxIxxBB", ABORT, 4, source, reason)


def release_response() -> bytes:
    """Encode an A-RELEASE-RP (PS3.8 Section 9.3.7)."""
    return struct.pack(">BxI4x", RELEASE_RP, 4)


def reject(result: int, source: int, diagnostic: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 Section 9.3.4)."""
    return struct.pack(">BxIxBBB", ASSOCIATE_RJ, 4, result, source, diagnostic)


def message_pdus(
    context_id: int, command_set: bytes, data_set: bytes, max_pdu_bytes: int
) -> Iterator[bytes]:
    """Encode command set and data set of a message in PDUs that the peer takes.

    Parameters
    ----------
    max_pdu_bytes
        Of the peer; 0: any.
    """
    longest = (max(max_pdu_bytes or _ANY_LENGTH, _PDV_HEADER.size + 2) - _PDV_HEADER.size) & ~1
    for content, flag in ((command_set, IS_COMMAND), (data_set, 0)):
        for start in range(0, max(len(content), 1), longest):
            piece = content[start : start + longest]
            flags = flag | (IS_LAST if start + longest >= len(content) else 0)
            header = (P_DATA_TF, len(piece) + 6, len(piece) + 2, context_id, flags)
            yield struct.pack(">BxIIBB", *header) + piece


def data_transfer(context_id: int, is_command: bool, data: bytes) -> bytes:
    """Encode a P-DATA-TF with one value that holds a whole command set or data set."""
    flags = IS_LAST | (IS_COMMAND if is_command else 0)
    return struct.pack(">BxIIBB", P_DATA_TF, len(data) + 6, len(data) + 2, context_id, flags) + data
