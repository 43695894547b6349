"""The words of reports: documents as they come in, their revisions, and what contradicts them.

Plain frozen data, no I/O. What a report says lies in files; identifiers of a person are digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReportStatus(StrEnum):
    """What its author says of a report (HL7 Table 0123, FHIR DiagnosticReport.status)."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"
    """Cancelled, deleted, or about another patient: it no longer says anything."""


class ReportState(StrEnum):
    """How far the node is with one revision of a report."""

    RECEIVED = "received"
    """Kept; its text is not read yet."""
    WAITING = "waiting"
    """Read; no study that it belongs to has come."""
    JOINED = "joined"
    """Read, and part of a study."""
    SUPERSEDED = "superseded"
    """A later revision counts."""
    WITHDRAWN = "withdrawn"
    """Its author has taken it back."""
    QUARANTINED = "quarantined"
    """It contradicts its study; kept, not used, until an administrator releases it."""
    FAILED = "failed"
    """It cannot be read; the reason is recorded."""


class ReportWay(StrEnum):
    """How a report came in."""

    HL7 = "hl7"
    DICOM = "dicom"
    FHIR = "fhir"
    FILE = "file"


@dataclass(frozen=True)
class ReportDocument:
    r"""One report as it was received: its text, and what it says it belongs to.

    Parameters
    ----------
    way, sender
        How it came, and from which system; no person.
    identifier
        Of the report at its sender: the same for all its revisions. Hashed before it is kept.
    text
        Lines parted by ``\n``; every offset of a finding counts its characters.
    study_instance_uid
        Empty where the document names none.
    accession_numbers
        Each that the document gives, the best first. Hashed before they are kept.
    patient_ids
        Hashed before they are kept.
    modality
        Such as ``CT``; empty where the document does not say.
    reported_at
        When its author wrote this revision; None where it does not say.
    source_uid, predecessor_uid
        SOP Instance UIDs of the document and of the one it replaces, for DICOM.
    """

    way: ReportWay
    sender: str
    identifier: str
    status: ReportStatus
    text: str
    study_instance_uid: str = ""
    accession_numbers: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = ()
    modality: str = ""
    reported_at: datetime | None = None
    source_uid: str = ""
    predecessor_uid: str = ""


class Verdict(StrEnum):
    """What a reviewer says of a discordance: the ground truth that grows with time."""

    REPORT_RIGHT = "report right"
    MODEL_RIGHT = "model right"
    BOTH_WRONG = "both wrong"
    NO_CONTRADICTION = "no contradiction"
    """The two do not speak of the same thing, or the text was misread."""


class DiscordanceState(StrEnum):
    """Where a discordance stands."""

    OPEN = "open"
    CLOSED = "closed"
    """A reviewer has given a verdict."""
    RESOLVED = "resolved"
    """A later report or a later result no longer contradicts."""
