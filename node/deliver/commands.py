"""Command sets of the storage SCU (PS3.7 Section 9.3), and the P-DATA-TF PDUs they travel in.

With `struct`, and not through pynetdicom's message classes: those take 8 to 16 ms for an
image of half a megabyte, several times what the peer needs to store it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

P_DATA_TF: Final = 0x04
C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
RESPONSE: Final = 0x8000

_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<H")
_PDU: Final = struct.Struct(">BxIIBB")
_PDV: Final = struct.Struct(">IBB")

_COMMAND_FIELD: Final = 0x0100
_RESPONDED_TO: Final = 0x0120
_STATUS: Final = 0x0900
_NO_DATA_SET: Final = 0x0101
_DATA_SET: Final = 0x0001
_MEDIUM: Final = 0x0000

IS_COMMAND: Final = 0x01
IS_LAST: Final = 0x02
"""Bits of a message control header (PS3.8 Section E.2)."""

PDV_OVERHEAD: Final = 6
"""Bytes of the maximum PDU length that are not the fragment: item length, context, header."""
BLOCK_BYTES: Final = 262144
"""About how much of a data set is in memory, and given to the kernel, at once."""


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encode a C-STORE-RQ (PS3.7 Section 9.3.1.1), implicit VR little endian."""
    return _command_set(
        _uid(0x0002, sop_class_uid)
        + _us(_COMMAND_FIELD, C_STORE_RQ)
        + _us(0x0110, message_id)
        + _us(0x0700, _MEDIUM)
        + _us(0x0800, _DATA_SET)
        + _uid(0x1000, sop_instance_uid)
    )


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """Encode a C-ECHO-RQ (PS3.7 Section 9.3.5.1)."""
    return _command_set(
        _uid(0x0002, sop_class_uid)
        + _us(_COMMAND_FIELD, C_ECHO_RQ)
        + _us(0x0110, message_id)
        + _us(0x0800, _NO_DATA_SET)
    )


def status_of(command_set: bytes, command_field: int, message_id: int) -> int:
    """Read the status of the response to a request.

    Raises
    ------
    ValueError
        If it is no command set, no response of that kind, or one to another message.
    """
    values = dict(_elements(command_set))
    field = _number(values, _COMMAND_FIELD)
    if field != command_field | RESPONSE:
        raise ValueError(f"a message 0x{field:04X} instead of 0x{command_field | RESPONSE:04X}")
    answered = _number(values, _RESPONDED_TO)
    if answered != message_id:
        raise ValueError(f"a response to message {answered} instead of {message_id}")
    return _number(values, _STATUS)


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


def _command_set(body: bytes) -> bytes:
    return _element(0x0000, struct.pack("<I", len(body))) + body


def _element(element: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, element, len(value)) + value


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    return _element(element, value + b"\0" * (len(value) % 2))


def _us(element: int, value: int) -> bytes:
    return _element(element, _US.pack(value))


def _elements(command_set: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(command_set):
        if len(command_set) - at < _ELEMENT.size:
            raise ValueError("a command set that ends inside an element")
        group, element, length = _ELEMENT.unpack_from(command_set, at)
        at += _ELEMENT.size
        if group or at + length > len(command_set):
            raise ValueError(f"a command set with ({group:04X},{element:04X}) of {length} bytes")
        yield element, command_set[at : at + length]
        at += length


def _number(values: dict[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != _US.size:
        raise ValueError(f"a command set without a usable (0000,{element:04X})")
    return int(_US.unpack(value)[0])
