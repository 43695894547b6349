"""What a report's sender may write: MLLP blocks, HL7 messages, FHIR resources and text."""

from __future__ import annotations

import base64
import json

from node.errors import ProtocolError, ReportError
from node.receive.hl7.acknowledgment import AckCode, Answer, acknowledgment
from node.receive.hl7.framing import Deframer, framed
from node.report.file import read_file
from node.report.hl7v2 import read_message, reports_of
from node.reports import ReportStatus
from tests.builders.hl7 import CHEST_CT, oru
from tests.builders.records import NOON

MAX_MESSAGE_BYTES = 4096


def messages() -> list[bytes]:
    """Well-formed ORU^R01."""
    return [
        oru(),
        oru(study="1.2.840.1", status="C", codec="gb18030"),
        oru([r"RUL.\.br\No effusion.\H\x\N\ "], extra=["ZDS|1.2.3^RIS^Application^DICOM"]),
        oru(observations=["OBX|1|ED|18748-4^R^LN||^AP^PLAIN^Base64^UG5ldW1v||||||F"]),
    ]


def blocks() -> list[bytes]:
    """Streams of MLLP blocks."""
    return [
        framed(oru(CHEST_CT[:2])),
        framed(b"MSH|^~\\&|a") + b"\r\n" + framed(b"MSH|^~\\&|b"),
    ]


def files() -> list[bytes]:
    """FHIR resources, CDA and text."""
    form = {"contentType": "text/plain", "data": base64.b64encode(b"Pneumothorax.").decode()}
    report = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"value": "R1"}],
        "status": "final",
        "presentedForm": [form],
        "conclusion": "Pneumothorax.",
    }
    section = "<section><code code='59776-5'/><text>Pneumothorax.<br/>x</text></section>"
    return [
        json.dumps(report).encode(),
        f"<ClinicalDocument xmlns='urn:hl7-org:v3'>{section}</ClinicalDocument>".encode(),
        "右侧大量气胸。".encode("gb18030"),
    ]


def check_message(content: bytes) -> bool:
    """Any message gives reports or a reason, and an acknowledgment that is one message."""
    message = None
    try:
        message = read_message(content)
        found = reports_of(message)
        understood = True
    except ReportError as error:
        found, understood = [], False
        answer = Answer(AckCode.ERROR, reason=str(error))
    else:
        answer = Answer(AckCode.ACCEPT)
    for report in found:
        assert report.text or report.status is ReportStatus.WITHDRAWN
        assert report.study_instance_uid or report.accession_numbers
        assert "\0" not in report.text
    acknowledged = acknowledgment(message, answer, NOON, "1")
    assert list(Deframer(1_000_000).feed(framed(acknowledged))) == [acknowledged]
    assert read_message(acknowledged).type.startswith("ACK")
    return understood


def check_blocks(content: bytes) -> bool:
    """However a stream is cut, the same messages come out of it, and never a larger one."""
    whole = _messages_of([content])
    assert _messages_of([content[n : n + 1] for n in range(len(content))]) == whole
    assert all(len(message) <= MAX_MESSAGE_BYTES for message in whole[0])
    return bool(whole[0])


def check_file(content: bytes) -> bool:
    """Any file gives reports or a reason."""
    try:
        found = read_file(content, accession_number="A")
    except ReportError:
        return False
    return bool(found)


def _messages_of(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """Messages until the stream breaks the rules, and whether it does."""
    deframer, found = Deframer(MAX_MESSAGE_BYTES), []
    try:
        for piece in pieces:
            found.extend(deframer.feed(piece))
    except ProtocolError:
        return found, True
    return found, False
