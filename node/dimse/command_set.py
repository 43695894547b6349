"""Command sets, element by element (PS3.7 Section 6.3.1): group 0000, implicit VR little endian.

By hand, with `struct`: pydicom takes longer for the command set of an image than the node for
the image. The tests hold the bytes against pynetdicom's.
"""

from __future__ import annotations

import struct
from typing import Final

AFFECTED_SOP_CLASS_UID: Final = 0x0002
REQUESTED_SOP_CLASS_UID: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO: Final = 0x0120
PRIORITY: Final = 0x0700
COMMAND_DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
ERROR_COMMENT: Final = 0x0902
AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
REQUESTED_SOP_INSTANCE_UID: Final = 0x1001
EVENT_TYPE_ID: Final = 0x1002
ACTION_TYPE_ID: Final = 0x1008
"""Element numbers (PS3.7 Section E.1)."""

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type of a message without a data set; any other value says that one follows."""

_ELEMENT: Final = struct.Struct("<HHI")
_GROUP_LENGTH: Final = struct.Struct("<HHII")
_US: Final = struct.Struct("<H")


def encode(*elements: bytes) -> bytes:
    """Encode a command set of elements that are encoded already, with its group length."""
    body = b"".join(elements)
    return _GROUP_LENGTH.pack(0, 0x0000, 4, len(body)) + body


def header(number: int, length: int) -> bytes:
    """Encode tag and length of an element, which its value follows."""
    return _ELEMENT.pack(0, number, length)


def element(number: int, value: bytes, padding: bytes = b"\0") -> bytes:
    """Encode an element, its value padded to even length."""
    value += padding * (len(value) % 2)
    return _ELEMENT.pack(0, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    """Encode an element of VR US."""
    return element(number, _US.pack(value))


def decode(command_set: bytes) -> dict[int, bytes]:
    """Take a command set apart: element number → value as it stands.

    Raises
    ------
    ValueError
        If it ends inside an element, or has one of another group.
    """
    values: dict[int, bytes] = {}
    at = 0
    while at < len(command_set):
        if len(command_set) - at < _ELEMENT.size:
            raise ValueError("a command set that ends inside an element")
        group, number, length = _ELEMENT.unpack_from(command_set, at)
        at += _ELEMENT.size
        if group or at + length > len(command_set):
            raise ValueError(f"a command set with ({group:04X},{number:04X}) of {length} bytes")
        values[number] = command_set[at : at + length]
        at += length
    return values


def number_of(values: dict[int, bytes], number: int) -> int:
    """Read an element of VR US.

    Raises
    ------
    ValueError
        If it is absent or has another length.
    """
    value = values.get(number, b"")
    if len(value) != _US.size:
        raise ValueError(f"a command set without a usable (0000,{number:04X})")
    return int(_US.unpack(value)[0])
