"""Acknowledgments of HL7 messages in the original mode (HL7 Section 2.9.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain import MANUFACTURER
from node.report.hl7v2 import Message


class AckCode(StrEnum):
    """What becomes of a message (HL7 Table 0008)."""

    ACCEPT = "AA"
    """It is durable here, or was before."""
    ERROR = "AE"
    """Its content cannot be used, and lies in quarantine; or it can be sent again later."""
    REJECT = "AR"
    """It is not for this node; nothing of it is kept."""


class Condition(StrEnum):
    """Message error conditions (HL7 Table 0357)."""

    NONE = ""
    SEGMENT_SEQUENCE_ERROR = "100^Segment sequence error^HL70357"
    REQUIRED_FIELD_MISSING = "101^Required field missing^HL70357"
    UNSUPPORTED_MESSAGE_TYPE = "200^Unsupported message type^HL70357"
    UNSUPPORTED_EVENT_CODE = "201^Unsupported event code^HL70357"
    UNSUPPORTED_PROCESSING_ID = "202^Unsupported processing id^HL70357"
    UNSUPPORTED_VERSION = "203^Unsupported version id^HL70357"
    APPLICATION_INTERNAL_ERROR = "207^Application internal error^HL70357"


@dataclass(frozen=True)
class Answer:
    """How a message is answered.

    Parameters
    ----------
    reason
        One sentence for the sender's log; empty for AA.
    """

    code: AckCode
    condition: Condition = Condition.NONE
    reason: str = ""


def acknowledgment(message: Message | None, answer: Answer, now: datetime, number: str) -> bytes:
    """Compose the answer to a message.

    Parameters
    ----------
    message
        None where not even its head could be read.
    number
        Message control id of the answer.

    Returns
    -------
    bytes
        ``MSH``, ``MSA`` and, where there is a reason, ``ERR``, in UTF-8; without MLLP framing.
    """
    to_application = to_facility = own_application = own_facility = control_id = event = ""
    processing_id, version = "P", "2.5"
    if message is not None:
        to_application, to_facility = message.sending_application, message.sending_facility
        own_application, own_facility = message.receiving_application, message.receiving_facility
        control_id = message.control_id
        event = message.type.partition("^")[2]
        processing_id, version = message.processing_id or "P", message.version or "2.5"
    kind = "^".join(filter(None, ("ACK", _safe(event), "ACK" if event else "")))
    head = [
        "MSH",
        "^~\\&",
        _safe(own_application) or MANUFACTURER.upper(),
        _safe(own_facility),
        _safe(to_application),
        _safe(to_facility),
        f"{now:%Y%m%d%H%M%S%z}",
        "",
        kind,
        number,
        _safe(processing_id),
        _safe(version),
        *[""] * 5,
        "UNICODE UTF-8",
    ]
    segments = ["|".join(head), f"MSA|{answer.code}|{_safe(control_id)}|{_safe(answer.reason)}"]
    if answer.condition:
        segments.append(f"ERR|||{answer.condition}|E||||{_safe(answer.reason)}")
    return ("\r".join(segments) + "\r").encode()


def _safe(text: str) -> str:
    """Take what would end a field out of a value that came from elsewhere."""
    return re.sub(r"[|^~\\&\x00-\x1f\x7f]", " ", text)[:250].strip()
