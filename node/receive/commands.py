"""The command sets of the storage SCP: requests read, responses written (PS3.7 Section 9.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from node.dimse import C_CANCEL_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ, RESPONSE
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
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
    STATUS,
    decode,
    element,
    encode,
    number_of,
    us,
)
from node.errors import ProtocolError
from node.receive.pdu import INVALID_PARAMETER

MAX_COMMAND_BYTES: Final = 65536
"""Of a command set; the largest that the storage and verification services know has 300."""
_MAX_COMMENT: Final = 64
"""Error Comment (0000,0902) has VR LO."""
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
        us(COMMAND_FIELD, command.field | RESPONSE),
        us(MESSAGE_ID_BEING_RESPONDED_TO, command.message_id),
        us(COMMAND_DATA_SET_TYPE, NO_DATA_SET),
        us(STATUS, status),
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
