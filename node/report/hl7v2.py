"""HL7 version 2 ORU^R01 → the reports in it.

python-hl7 splits the message; its ``unescape`` is not used, because it drops line breaks,
repeats characters as often as a message asks, and logs what it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final

import hl7

from node.errors import ReportError
from node.report.charset import decode, hl7_codec
from node.report.escape import text_of
from node.report.heading import compose, section_of
from node.report.payload import text_of_payload
from node.reports import ReportDocument, ReportStatus, ReportWay

MAX_SEPARATORS: Final = 200_000
"""Of a message: each becomes an object; a report of a hundred pages has a few thousand."""

UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
MAX_UID_LENGTH: Final = 64
STUDY_INSTANCE_UID_CODES: Final = frozenset({("DCM", "113014"), ("DCM", "110180"), ("", "113014")})
"""Study Instance UID as an observation (PS3.16: 113014 DICOM Study, 110180)."""

_STATUSES: Final = {
    "F": ReportStatus.FINAL,
    "C": ReportStatus.CORRECTED,
    "P": ReportStatus.PRELIMINARY,
    "R": ReportStatus.PRELIMINARY,
    "S": ReportStatus.PRELIMINARY,
    "I": ReportStatus.PRELIMINARY,
    "A": ReportStatus.PRELIMINARY,
    "X": ReportStatus.WITHDRAWN,
    "D": ReportStatus.WITHDRAWN,
    "W": ReportStatus.WITHDRAWN,
}
"""HL7 Tables 0123 (OBR-25) and 0085 (OBX-11)."""


@dataclass(frozen=True)
class Message:
    """The head of a message, and how to read the rest.

    Parameters
    ----------
    type
        Message code and trigger event, such as ``ORU^R01``.
    """

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    type: str
    control_id: str
    processing_id: str
    version: str
    parsed: hl7.Message

    @property
    def sender(self) -> str:
        """Application and facility, as they name themselves; no longer than a name is."""
        return f"{self.sending_application[:64]}|{self.sending_facility[:64]}"


@dataclass
class _Order:
    """One OBR with the observations under it."""

    common: hl7.Segment | None
    request: hl7.Segment
    observations: list[hl7.Segment] = field(default_factory=list)


def read_message(content: bytes) -> Message:
    """Split a message and read its MSH.

    Raises
    ------
    ReportError
        If it is no HL7 version 2 message, or too large to be split.
    """
    if not content.startswith(b"MSH") or len(content) < 9:
        raise ReportError("the message does not begin with MSH and its separators")
    separators = bytes(content[3:4]) + bytes(content[4:8].split(content[3:4])[0])
    if not 5 <= len(separators) == len(set(separators)) <= 6 or re.search(rb"[\w\s]", separators):
        raise ReportError("MSH-1 and MSH-2 are no separators")
    count = sum(content.count(separators[i : i + 1]) for i in range(len(separators)))
    if count + content.count(b"\r") + content.count(b"\n") > MAX_SEPARATORS:
        raise ReportError(f"the message has more than {MAX_SEPARATORS} fields and components")
    head = content[: content.find(b"\r") if b"\r" in content else None][:2000].split(content[3:4])
    declared = head[17].split(b"~") if len(head) > 17 else [b""]
    codecs = [hl7_codec(each.decode("latin-1")) for each in declared]
    text = decode(content, next((codec for codec in codecs if codec), ""))
    text = re.sub(r"\r\n|\n|\x0b|\x1c", "\r", text)
    try:
        parsed = hl7.parse(text)
        msh = parsed.segment("MSH")
    except Exception as error:  # python-hl7 raises whatever its indexing runs into
        raise ReportError("the message cannot be split into segments") from error
    return Message(
        sending_application=_component(msh, 3),
        sending_facility=_component(msh, 4),
        receiving_application=_component(msh, 5),
        receiving_facility=_component(msh, 6),
        type=f"{_component(msh, 9)}^{_component(msh, 9, 2)}",
        control_id=_component(msh, 10),
        processing_id=_component(msh, 11),
        version=_component(msh, 12),
        parsed=parsed,
    )


def reports_of(message: Message) -> list[ReportDocument]:
    """Read the reports of an ORU^R01: one for each OBR with text.

    Orders that share filler order number and accession number are one report.

    Raises
    ------
    ReportError
        If there is none, or one of them has neither text nor anything to join it by.
    """
    patients = _patient_ids(message.parsed)
    study_instance_uid = _study_instance_uid(message.parsed)
    orders = list(_orders(message.parsed))
    found: dict[str, ReportDocument] = {}
    parts: dict[str, list[tuple[str, str]]] = {}
    for order in orders:
        document = _document(message, order, patients, study_instance_uid)
        parts.setdefault(document.identifier, []).extend(_parts(message.parsed, order))
        known = found.setdefault(document.identifier, document)
        if known.status is ReportStatus.WITHDRAWN:
            found[document.identifier] = document
    documents = [
        _with_text(document, compose(parts[identifier])) for identifier, document in found.items()
    ]
    usable = [each for each in documents if each.text or each.status is ReportStatus.WITHDRAWN]
    if not orders:
        raise ReportError("no OBR segment: expected one for each report")
    if not usable:
        raise ReportError("no report text: expected OBX segments of type TX, FT, ST or ED")
    for document in usable:
        if not (document.study_instance_uid or document.accession_numbers):
            raise ReportError(
                "no accession number (IPC-1, OBR-18, OBR-3) and no Study Instance UID "
                "(ZDS-1, IPC-3, OBX 113014): nothing to join the report by"
            )
    return usable


def _with_text(document: ReportDocument, text: str) -> ReportDocument:
    return ReportDocument(**{**vars(document), "text": text})


def _document(
    message: Message, order: _Order, patients: tuple[str, ...], study_instance_uid: str
) -> ReportDocument:
    request = order.request
    filler = _component(request, 3) or (_component(order.common, 3) if order.common else "")
    accessions = _accession_numbers(message.parsed, request, filler)
    study = _observed_study(order) or study_instance_uid
    return ReportDocument(
        way=ReportWay.HL7,
        sender=message.sender,
        identifier=filler or next(iter(accessions), "") or study,
        status=_status(order),
        text="",
        study_instance_uid=study,
        accession_numbers=accessions,
        patient_ids=patients,
        modality=_modality(request),
        reported_at=_moment(_component(request, 22)) or _moment(_component_of(message, 7)),
    )


def _component_of(message: Message, number: int) -> str:
    return _component(message.parsed.segment("MSH"), number)


def _orders(parsed: hl7.Message) -> Iterator[_Order]:
    common: hl7.Segment | None = None
    order: _Order | None = None
    for segment in parsed:
        name = str(segment[0])
        if name == "ORC":
            common = segment
        elif name == "OBR":
            if order is not None:
                yield order
            order = _Order(common, segment)
        elif name == "OBX" and order is not None:
            order.observations.append(segment)
        elif name == "PID" and order is not None:
            # The next patient: what follows belongs to nothing that came before.
            yield order
            order = common = None
    if order is not None:
        yield order


def _status(order: _Order) -> ReportStatus:
    stated = _STATUSES.get(_component(order.request, 25).upper())
    if stated is not None:
        return stated
    observed = {_STATUSES.get(_component(one, 11).upper()) for one in order.observations}
    if observed and observed <= {ReportStatus.WITHDRAWN}:
        return ReportStatus.WITHDRAWN
    for status in (ReportStatus.CORRECTED, ReportStatus.PRELIMINARY):
        if status in observed:
            return status
    return ReportStatus.FINAL


def _parts(parsed: hl7.Message, order: _Order) -> Iterator[tuple[str, str]]:
    """Section and text of each observation that is text, deleted ones left out."""
    for segment in order.observations:
        if _component(segment, 11).upper() in ("D", "W", "X"):
            continue
        value_type = _component(segment, 2).upper()
        # With the subcomponent after "&", which says which part of the report it is.
        identifier = _raw(segment, 3).split(segment.separators[3])[0]
        section = section_of(_component(segment, 3, 3), identifier, _component(segment, 3, 2))
        if value_type in ("TX", "FT", "ST"):
            if _is_study_instance_uid(segment):
                continue
            yield section, text_of(_raw(segment, 5), parsed.separators, parsed.esc)
        elif value_type == "ED":
            yield section, _embedded(segment, parsed)


def _embedded(segment: hl7.Segment, parsed: hl7.Message) -> str:
    """Text of encapsulated data (HL7 Section 2.A.24): application, type, subtype, coding, data."""
    components = _raw(segment, 5).split(parsed.separators[3])
    if len(components) < 5:
        raise ReportError("OBX-5 of type ED has fewer than its 5 components")
    data = components[4]
    return text_of_payload(components[2], components[3], data)


def _accession_numbers(parsed: hl7.Message, request: hl7.Segment, filler: str) -> tuple[str, ...]:
    """IPC-1, OBR-18 (where IHE puts it) and OBR-3, each once."""
    imaging = [_component(one, 1) for one in _segments(parsed, "IPC")]
    found = [*imaging, _component(request, 18), filler]
    return tuple(dict.fromkeys(each for each in found if each and len(each) <= 64))


def _study_instance_uid(parsed: hl7.Message) -> str:
    for name, number in (("ZDS", 1), ("IPC", 3)):
        for segment in _segments(parsed, name):
            if is_uid(uid := _component(segment, number)):
                return uid
    return ""


def _observed_study(order: _Order) -> str:
    for segment in order.observations:
        uid = _component(segment, 5)
        if _is_study_instance_uid(segment) and is_uid(uid):
            return uid
    return ""


def _is_study_instance_uid(segment: hl7.Segment) -> bool:
    return (_component(segment, 3, 3), _component(segment, 3)) in STUDY_INSTANCE_UID_CODES


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5 Section 9.1)."""
    return len(text) <= MAX_UID_LENGTH and UID.fullmatch(text) is not None


def _patient_ids(parsed: hl7.Message) -> tuple[str, ...]:
    """Every identifier of PID-3, and of PID-2 and PID-4 as older versions have them."""
    found = []
    for segment in _segments(parsed, "PID"):
        for number in (3, 2, 4):
            for repetition in _raw(segment, number).split(parsed.separators[2]):
                found.append(repetition.split(parsed.separators[3])[0].strip())
    return tuple(dict.fromkeys(each for each in found if each))


def _modality(request: hl7.Segment) -> str:
    """OBR-24 where it is a modality (HL7 Table 0074 has CT, NMR, RUS, XRC among others)."""
    known = {"CT": "CT", "MR": "MR", "NMR": "MR", "US": "US", "RUS": "US", "RX": "CR", "XR": "CR"}
    return known.get(_component(request, 24).upper(), "")


def _moment(text: str) -> datetime | None:
    """Read a time stamp (HL7 Section 2.A.22); without an offset it counts as UTC."""
    match = re.fullmatch(
        r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.\d{1,6})?([+-]\d{4})?", text
    )
    if match is None:
        return None
    numbers = [
        int(part) if part else low
        for part, low in zip(match.groups()[:6], (1, 1, 1, 0, 0, 0), strict=True)
    ]
    offset = match.group(7) or "+0000"
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    try:
        zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
        year, month, day, hour, minute, second = numbers
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def _segments(parsed: hl7.Message, name: str) -> Sequence[hl7.Segment]:
    return [segment for segment in parsed if str(segment[0]) == name]


def _raw(segment: hl7.Segment, number: int) -> str:
    """A field as it was sent; empty where it is absent."""
    return str(segment[number]) if len(segment) > number else ""


def _component(segment: hl7.Segment, number: int, component: int = 1) -> str:
    """One component of the first repetition of a field, without padding; empty where absent."""
    separators = segment.separators
    first = _raw(segment, number).split(separators[2])[0]
    components = first.split(separators[3])
    if len(components) < component:
        return ""
    value = components[component - 1].split(separators[4])[0].strip()
    return text_of(value, separators, segment.esc) if segment.esc in value else value
