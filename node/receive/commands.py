"""DIMSE command sets of the storage SCP (PS3.7 Annex E).

By hand, with `struct`: pydicom takes longer for the command set of an image than the node for
the image. The tests hold the bytes against pynetdicom's.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from node.errors import ProtocolError
from node.receive.pdu import INVALID_PARAMETER

C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE: Final = 0x8000
NO_DATA_SET: Final = 0x0101
MAX_COMMAND_BYTES: Final = 65536
"""Of a command set; the largest that the storage and verification services know has 300."""
_MAX_COMMENT: Final = 64
"""Error Comment (0000,0902) has VR LO."""

_ELEMENT: Final = struct.Struct("<HHI")
_AFFECTED_SOP_CLASS_UID: Final = 0x0002
_COMMAND_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_RESPONDED_TO: Final = 0x0120
_DATA_SET_TYPE: Final = 0x0800
_STATUS: Final = 0x0900
_ERROR_COMMENT: Final = 0x0902
_AFFECTED_SOP_INSTANCE_UID: Final = 0x1000


class Command(NamedTuple):
    """What the node needs to know of a command set.

    The UIDs are text as it came, padding removed; an absent one is empty.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


def parse_command(command_set: bytes) -> Command:
    """Read a command set: implicit VR little endian, group 0000 only (PS3.7 Section 6.3.1).

    Raises
    ------
    ProtocolError
        If it is no command set, or lacks command field, message ID or data set type.
    """
    values: dict[int, bytes] = {}
    at = 0
    while at < len(command_set):
        if at + _ELEMENT.size > len(command_set):
            raise _broken("ends in the middle of an element")
        group, element, length = _ELEMENT.unpack_from(command_set, at)
        at += _ELEMENT.size
        if group != 0:
            raise _broken(f"has an element of group {group:04X}")
        if at + length > len(command_set):
            raise _broken(f"has an element (0000,{element:04X}) that is longer than itself")
        values[element] = command_set[at : at + length]
        at += length
    field = _unsigned(values, _COMMAND_FIELD)
    is_response = bool(field & RESPONSE) or field == C_CANCEL_RQ
    return Command(
        field,
        _unsigned(values, _RESPONDED_TO if is_response else _MESSAGE_ID),
        _unsigned(values, _DATA_SET_TYPE) != NO_DATA_SET,
        _text(values.get(_AFFECTED_SOP_CLASS_UID, b"")),
        _text(values.get(_AFFECTED_SOP_INSTANCE_UID, b"")),
    )


def encode_response(command: Command, status: int, comment: str = "") -> bytes:
    """Encode the response to a request of any kind.

    Its command field is that of the request with the highest bit set (PS3.7 Section E.1).

    Parameters
    ----------
    comment
        For the people at the peer; the first 64 characters go out as Error Comment.
    """
    body = b"".join(
        (
            _uid_element(_AFFECTED_SOP_CLASS_UID, command.sop_class_uid),
            _us_element(_COMMAND_FIELD, command.field | RESPONSE),
            _us_element(_RESPONDED_TO, command.message_id),
            _us_element(_DATA_SET_TYPE, NO_DATA_SET),
            _us_element(_STATUS, status),
            _element(_ERROR_COMMENT, _padded(_comment(comment), b" ")) if comment else b"",
            _uid_element(_AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid),
        )
    )
    return _element(0x0000, struct.pack("<I", len(body))) + body


def _element(element: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, element, len(value)) + value


def _us_element(element: int, value: int) -> bytes:
    return struct.pack("<HHIH", 0, element, 2, value)


def _uid_element(element: int, uid: str) -> bytes:
    return _element(element, _padded(uid.encode("latin-1"), b"\0")) if uid else b""


def _padded(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def _comment(text: str) -> bytes:
    # A backslash would make two values of it.
    return text[:_MAX_COMMENT].replace("\\", "/").encode("ascii", "replace")


def _unsigned(values: dict[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != 2:
        raise _broken(f"has no usable (0000,{element:04X}): {len(value)} bytes, expected 2")
    return int.from_bytes(value, "little")


def _text(value: bytes) -> str:
    # Latin-1 reads any byte: what is not a UID is refused by name, not by an exception.
    return value.rstrip(b"\0 ").decode("latin-1")


def _broken(what: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMETER, f"the command set {what}")
