"""A report in a file, of whatever form, and what its bringer says about it."""

from __future__ import annotations

from dataclasses import replace

from node.errors import ReportError
from node.report.fhir import read_fhir
from node.report.hl7v2 import read_message, reports_of
from node.report.payload import read_payload
from node.reports import ReportDocument, ReportStatus, ReportWay


def read_file(
    content: bytes,
    *,
    accession_number: str = "",
    study_instance_uid: str = "",
    identifier: str = "",
) -> list[ReportDocument]:
    """Read a file: an HL7 message, a FHIR DiagnosticReport, a PDF, a CDA document or text.

    Parameters
    ----------
    accession_number, study_instance_uid, identifier
        What the bringer says; it counts before what the file says. Without an identifier a later
        file for the same study or order is its next revision.

    Raises
    ------
    ReportError
        If it cannot be read, or there is nothing to join it by.
    """
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x0b")
    if start.startswith(b"MSH"):
        found = reports_of(read_message(content.strip(b"\x0b\x1c\r\n") + b"\r"))
    elif start.startswith(b"{") and b"resourceType" in content:
        found = read_fhir(content)
    else:
        text = read_payload(content)
        if not text.strip():
            raise ReportError("the file is empty")
        found = [ReportDocument(ReportWay.FILE, "file", "", ReportStatus.FINAL, text)]
    if len(found) > 1 and (accession_number or study_instance_uid or identifier):
        raise ReportError(f"the file holds {len(found)} reports, which cannot all be this one")
    told = [_told(each, accession_number, study_instance_uid, identifier) for each in found]
    if any(not (each.accession_numbers or each.study_instance_uid) for each in told):
        raise ReportError("nothing to join the report by: expected an accession number or a study")
    return told


def _told(
    document: ReportDocument, accession_number: str, study_instance_uid: str, identifier: str
) -> ReportDocument:
    numbers = (accession_number,) if accession_number else document.accession_numbers
    study = study_instance_uid or document.study_instance_uid
    own = identifier or document.identifier or next(iter(numbers), "") or study
    return replace(document, accession_numbers=numbers, study_instance_uid=study, identifier=own)
