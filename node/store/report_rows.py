"""One revision of a report, one study that reports are read for, as the database keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from node.domain import digest_of
from node.reports import ReportDocument, ReportState, ReportStatus, ReportWay
from node.store.files import REPORTS
from node.store.header import patient_digest

PRIVATE: Final = 0o600
"""Permissions of a file that holds what a report says."""


@dataclass(frozen=True)
class ReportRow:
    """One revision of a report.

    Parameters
    ----------
    named_study
        Study Instance UID that the document itself gives; may be empty.
    study_instance_uid
        Of the study that it was joined to; empty as long as it was not.
    patients
        Digests of the patient's identifiers.
    current
        Whether it is the revision that counts.
    released
        Whether an administrator has let it join although its patient is another one.
    text_path, findings_path
        Relative to the data directory.
    tries
        How often it was begun to be read, or to be joined.
    """

    report_key: str
    revision: int
    way: ReportWay
    sender: str
    status: ReportStatus
    state: ReportState
    reason: str
    current: bool
    released: bool
    named_study: str
    study_instance_uid: str
    patients: tuple[str, ...]
    modality: str
    source_uid: str
    predecessor_uid: str
    text_path: str
    text_sha256: str
    reported_at: datetime | None
    received_at: datetime
    findings_path: str
    language: str
    tries: int


@dataclass(frozen=True)
class ReadingRow:
    """A study as reports see it.

    Parameters
    ----------
    revision
        The study's revision that was looked at last.
    accession, patient
        Digests of AccessionNumber and of PatientID; empty where the images have none.
    compared
        Digest of everything that the last comparison looked at.
    """

    study_instance_uid: str
    revision: int
    accession: str
    patient: str
    modality: str
    body_part: str
    compared: str = ""


def report_key(document: ReportDocument) -> str:
    """Key of a report, the same for all its revisions."""
    # A DICOM document has its UID, wherever it comes from.
    sender = "" if document.source_uid else document.sender
    return digest_of("report", document.way, sender, document.identifier)


def accession_digest(accession_number: str) -> str:
    """Digest of an accession number; padding and case do not count. Empty for an empty one."""
    plain = accession_number.strip().upper()
    return digest_of("accession", plain) if plain else ""


def patient_digests(document: ReportDocument) -> tuple[str, ...]:
    """Digests of the identifiers that a document gives its patient, without their issuers."""
    return tuple(filter(None, (patient_digest(each, "") for each in document.patient_ids)))


def text_path(key: str, text_sha256: str) -> str:
    """Where the text of one revision of a report lies, relative to the data directory."""
    return f"{REPORTS}/{key[:2]}/{key[:32]}/{text_sha256[:16]}.txt"


def report_row(row: Row[Any]) -> ReportRow:
    """Make one of a row of ``reports``."""
    values = dict(row._mapping)
    return ReportRow(
        **{
            **values,
            "way": ReportWay(values["way"]),
            "status": ReportStatus(values["status"]),
            "state": ReportState(values["state"]),
            "patients": tuple(values["patients"].split()),
        }
    )
