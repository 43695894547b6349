"""The command sets of the storage SCP: requests read, responses written (PS3.7 Section 9.3)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from node.dimse import C_CANCEL_RQ, C_STORE_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ, RESPONSE
from node.dimse.command_set import (
    ACTION_TYPE_ID,
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    ERROR_COMMENT,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATA_SET,
    PRIORITY,
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
    STATUS,
    decode,
    element,
    encode,
    header,
    number_of,
    us,
)
from node.errors import ProtocolError
from node.receive.pdu import INVALID_PARAMETER

MAX_COMMAND_BYTES: Final = 65536
"""Of a command set; the largest that the storage and verification services know has 300."""
_MAX_COMMENT: Final = 64
"""Error Comment (0000,0902) has VR LO."""
_RESPONSE: Final = struct.Struct("<8sH8sH10s8sH")
"""Command field, message ID responded to, data set type, status."""
_OF_FIELD: Final = header(COMMAND_FIELD, 2)
_OF_ID: Final = header(MESSAGE_ID_BEING_RESPONDED_TO, 2)
_WITHOUT_DATA_SET: Final = us(COMMAND_DATA_SET_TYPE, NO_DATA_SET)
_OF_STATUS: Final = header(STATUS, 2)
_REQUEST_BEGINS: Final = struct.Struct("<8s4x4sI")
"""Group length, then tag and length of the Affected SOP Class UID."""
_REQUEST_GOES_ON: Final = struct.Struct("<8sH8sH8s2x8sH4sI")
"""Command field, message ID, priority, data set type; tag and length of the instance's UID."""
_REQUEST_HEADERS: Final = (
    header(0x0000, 4),
    header(AFFECTED_SOP_CLASS_UID, 0)[:4],
    _OF_FIELD,
    header(MESSAGE_ID, 2),
    header(PRIORITY, 2),
    header(COMMAND_DATA_SET_TYPE, 2),
    header(AFFECTED_SOP_INSTANCE_UID, 0)[:4],
)
_TYPE_IDS: Final = {N_EVENT_REPORT_RQ: EVENT_TYPE_ID, N_ACTION_RQ: ACTION_TYPE_ID}


class Command(NamedTuple):
    """What the node needs to know of a command set.

    The UIDs are text as it came, padding removed; an absent one is empty. Those of an N-ACTION
    are the requested ones.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    status: int = 0
    """Of a response."""
    type_id: int = 0
    """Of the event of an N-EVENT-REPORT, or the action of an N-ACTION; 0 if it has none."""


def parse_command(command_set: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolError
        If it is no command set, or lacks command field, message ID or data set type.
    """
    return _plain_store_request(command_set) or _any_command(command_set)


def _plain_store_request(command_set: bytes) -> Command | None:
    """Read a C-STORE-RQ with the elements that nearly all have; None: it is another command set.

    It comes with every image, and element by element takes three times as long.
    """
    at = _REQUEST_BEGINS.size
    if len(command_set) < at:
        return None
    begins, class_tag, length = _REQUEST_BEGINS.unpack_from(command_set)
    sop_class_uid = command_set[at : at + length]
    at += length
    if len(command_set) < at + _REQUEST_GOES_ON.size:
        return None
    (
        of_field,
        field,
        of_id,
        message_id,
        of_priority,
        of_type,
        data_set_type,
        instance_tag,
        length,
    ) = _REQUEST_GOES_ON.unpack_from(command_set, at)
    at += _REQUEST_GOES_ON.size
    headers = (begins, class_tag, of_field, of_id, of_priority, of_type, instance_tag)
    if headers != _REQUEST_HEADERS or field != C_STORE_RQ or at + length != len(command_set):
        return None
    return Command(
        field,
        message_id,
        data_set_type != NO_DATA_SET,
        _text(sop_class_uid),
        _text(command_set[at:]),
    )


def _any_command(command_set: bytes) -> Command:
    """Read a command set element by element."""
    try:
        values = decode(command_set)
        field = number_of(values, COMMAND_FIELD)
        is_request = not field & RESPONSE and field != C_CANCEL_RQ
        return Command(
            field,
            number_of(values, MESSAGE_ID if is_request else MESSAGE_ID_BEING_RESPONDED_TO),
            number_of(values, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
            _text(values.get(AFFECTED_SOP_CLASS_UID) or values.get(REQUESTED_SOP_CLASS_UID, b"")),
            _text(
                values.get(AFFECTED_SOP_INSTANCE_UID) or values.get(REQUESTED_SOP_INSTANCE_UID, b"")
            ),
            number_of(values, STATUS) if field & RESPONSE else 0,
            int.from_bytes(values.get(_TYPE_IDS.get(field, -1), b"")[:2], "little"),
        )
    except ValueError as error:
        raise ProtocolError(INVALID_PARAMETER, str(error)) from error


def encode_response(command: Command, status: int, comment: str = "") -> bytes:
    """Encode the response to a request of any kind.

    Parameters
    ----------
    comment
        For the people at the peer; the first 64 characters go out as Error Comment.
    """
    return encode(
        _uid(AFFECTED_SOP_CLASS_UID, command.sop_class_uid),
        _RESPONSE.pack(
            _OF_FIELD,
            command.field | RESPONSE,
            _OF_ID,
            command.message_id,
            _WITHOUT_DATA_SET,
            _OF_STATUS,
            status,
        ),
        element(ERROR_COMMENT, _comment(comment), b" ") if comment else b"",
        _uid(AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid),
    )


def _uid(number: int, uid: str) -> bytes:
    return element(number, uid.encode("latin-1")) if uid else b""


def _comment(text: str) -> bytes:
    # A backslash would make two values of it.
    return text[:_MAX_COMMENT].replace("\\", "/").encode("ascii", "replace")


def _text(value: bytes) -> str:
    # Latin-1 reads any byte: what is not a UID is refused by name, not by an exception.
    return value.rstrip(b"\0 ").decode("latin-1")
