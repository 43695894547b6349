"""Command sets of the storage SCU (PS3.7 Section 9.3), and the P-DATA-TF PDUs they travel in.

With `struct`, and not through pynetdicom's message classes: those take 8 to 16 ms for an
image of half a megabyte, several times what the peer needs to store it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from node.dimse import C_ECHO_RQ, C_STORE_RQ, IS_COMMAND, IS_LAST, P_DATA_TF, RESPONSE
from node.dimse.command_set import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATA_SET,
    PRIORITY,
    STATUS,
    decode,
    element,
    encode,
    number_of,
    us,
)

_PDU: Final = struct.Struct(">BxIIBB")
_PDV: Final = struct.Struct(">IBB")
_DATA_SET: Final = 0x0001
_MEDIUM: Final = 0x0000

PDV_OVERHEAD: Final = 6
"""Bytes of the maximum PDU length that are not the fragment: item length, context, header."""
BLOCK_BYTES: Final = 262144
"""About how much of a data set is in memory, and given to the kernel, at once."""


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encode a C-STORE-RQ (PS3.7 Section 9.3.1.1)."""
    return encode(
        _uid(AFFECTED_SOP_CLASS_UID, sop_class_uid),
        us(COMMAND_FIELD, C_STORE_RQ),
        us(MESSAGE_ID, message_id),
        us(PRIORITY, _MEDIUM),
        us(COMMAND_DATA_SET_TYPE, _DATA_SET),
        _uid(AFFECTED_SOP_INSTANCE_UID, sop_instance_uid),
    )


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """Encode a C-ECHO-RQ (PS3.7 Section 9.3.5.1)."""
    return encode(
        _uid(AFFECTED_SOP_CLASS_UID, sop_class_uid),
        us(COMMAND_FIELD, C_ECHO_RQ),
        us(MESSAGE_ID, message_id),
        us(COMMAND_DATA_SET_TYPE, NO_DATA_SET),
    )


def status_of(command_set: bytes, command_field: int, message_id: int) -> int:
    """Read the status of the response to a request.

    Raises
    ------
    ValueError
        If it is no command set, no response of that kind, or one to another message.
    """
    values = decode(command_set)
    field = number_of(values, COMMAND_FIELD)
    if field != command_field | RESPONSE:
        raise ValueError(f"a message 0x{field:04X} instead of 0x{command_field | RESPONSE:04X}")
    answered = number_of(values, MESSAGE_ID_BEING_RESPONDED_TO)
    if answered != message_id:
        raise ValueError(f"a response to message {answered} instead of {message_id}")
    return number_of(values, STATUS)


def fragments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Message control header and fragment of each PDV of a P-DATA-TF (PS3.8 Section 9.3.5).

    Raises
    ------
    ValueError
        If a PDV is longer than the PDU, or too short to be one.
    """
    at = 0
    while at < len(body):
        if len(body) - at < _PDV.size:
            raise ValueError("a P-DATA-TF that ends inside a PDV")
        length, _context_id, control = _PDV.unpack_from(body, at)
        end = at + 4 + length
        if length < 2 or end > len(body):
            raise ValueError(f"a PDV of {length} bytes in a P-DATA-TF of {len(body)}")
        yield control, body[at + _PDV.size : end]
        at = end


def command_pdus(context_id: int, command_set: bytes, fragment_bytes: int) -> list[bytes]:
    """The P-DATA-TF PDUs of a command set, fragmented."""
    pdus = []
    for start in range(0, len(command_set), fragment_bytes):
        piece = command_set[start : start + fragment_bytes]
        last = IS_LAST if start + fragment_bytes >= len(command_set) else 0
        pdus.append(_pdu_header(context_id, IS_COMMAND | last, len(piece)) + piece)
    return pdus


def data_set_blocks(
    context_id: int, stream: BinaryIO, size: int, fragment_bytes: int
) -> Iterator[list[bytes | memoryview]]:
    """The P-DATA-TF PDUs of an encoded data set, as blocks of buffers to be sent in order.

    The buffers of a block are valid until the next one is asked for.

    Parameters
    ----------
    stream
        Stands at the first byte of the data set.
    size
        Of the data set, bytes.
    fragment_bytes
        Of the data set in each PDU, even.

    Raises
    ------
    OSError
        If the stream ends before the data set does.
    """
    buffer = memoryview(bytearray(max(BLOCK_BYTES // fragment_bytes, 1) * fragment_bytes))
    left = size
    if not left:
        yield [_pdu_header(context_id, IS_LAST, 0)]
    while left:
        count = stream.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if count < min(left, len(buffer)):
            raise OSError(f"the file ends {left - count} bytes before its data set")
        left -= count
        block: list[bytes | memoryview] = []
        for start in range(0, count, fragment_bytes):
            piece = buffer[start : min(start + fragment_bytes, count)]
            last = IS_LAST if not left and start + fragment_bytes >= count else 0
            block += (_pdu_header(context_id, last, len(piece)), piece)
        yield block


def fragment_bytes(max_pdu_bytes: int) -> int:
    """Largest even fragment for a peer's maximum PDU length; 0 there means no limit.

    Raises
    ------
    ValueError
        If not even one fragment of two bytes fits.
    """
    limit = min(max_pdu_bytes or BLOCK_BYTES, BLOCK_BYTES)
    if limit < PDV_OVERHEAD + 2:
        raise ValueError(f"a maximum PDU length of {max_pdu_bytes}, in which no fragment fits")
    return (limit - PDV_OVERHEAD) & ~1


def _pdu_header(context_id: int, control: int, fragment: int) -> bytes:
    return _PDU.pack(P_DATA_TF, fragment + PDV_OVERHEAD, fragment + 2, context_id, control)


def _uid(number: int, uid: str) -> bytes:
    return element(number, uid.encode("ascii"))
