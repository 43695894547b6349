"""FHIR DiagnosticReport (R4, R5) in JSON → reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from node.errors import ReportError
from node.report.hl7v2 import is_uid
from node.report.payload import from_base64, read_payload
from node.reports import ReportDocument, ReportStatus, ReportWay

MAX_JSON_BYTES: Final = 64 * 2**20
_OID: Final = "urn:oid:"
_STATUSES: Final = {
    "registered": ReportStatus.PRELIMINARY,
    "partial": ReportStatus.PRELIMINARY,
    "preliminary": ReportStatus.PRELIMINARY,
    "modified": ReportStatus.CORRECTED,
    "amended": ReportStatus.CORRECTED,
    "corrected": ReportStatus.CORRECTED,
    "appended": ReportStatus.CORRECTED,
    "cancelled": ReportStatus.WITHDRAWN,
    "entered-in-error": ReportStatus.WITHDRAWN,
}


def read_fhir(content: bytes) -> list[ReportDocument]:
    """Read a DiagnosticReport, or every one in a Bundle.

    Raises
    ------
    ReportError
        If it is no JSON, holds no DiagnosticReport, or one of them has no text.
    """
    if len(content) > MAX_JSON_BYTES:
        raise ReportError(f"the resource has more than {MAX_JSON_BYTES} bytes")
    try:
        resource = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReportError("the resource is no JSON") from error
    found = [
        each for each in _resources(resource) if each.get("resourceType") == "DiagnosticReport"
    ]
    if not found:
        raise ReportError("no DiagnosticReport in the resource")
    return [_document(each) for each in found]


def _resources(resource: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(resource, dict):
        return
    yield resource
    for entry in _list(resource.get("entry")):
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield entry["resource"]


def _document(report: dict[str, Any]) -> ReportDocument:
    status = _STATUSES.get(str(report.get("status", "")), ReportStatus.FINAL)
    text = _text(report)
    if not text and status is not ReportStatus.WITHDRAWN:
        raise ReportError("no text: neither presentedForm with data nor conclusion")
    linked = [*_list(report.get("basedOn")), *_list(report.get("imagingStudy"))]
    linked += [*_list(report.get("study")), *_list(report.get("contained"))]
    identifiers = list(_identifiers(report))
    for each in linked:
        identifiers += _identifiers(each)
    own = next((value for _, _, value in _identifiers(report)), "") or str(report.get("id", ""))
    accessions = [value for kind, _, value in identifiers if kind == "ACSN"]
    studies = [_uid(value) for _, system, value in identifiers if system == "urn:dicom:uid"]
    subject = report.get("subject")
    return ReportDocument(
        way=ReportWay.FHIR,
        sender="FHIR",
        identifier=own or next(iter(accessions), "") or next(iter(studies), ""),
        status=status,
        text=text,
        study_instance_uid=next((uid for uid in studies if is_uid(uid)), ""),
        accession_numbers=tuple(dict.fromkeys(accessions)),
        patient_ids=tuple(value for _, _, value in _identifiers(subject)),
        reported_at=_moment(report.get("issued")),
    )


def _text(report: dict[str, Any]) -> str:
    parts = []
    for form in _list(report.get("presentedForm")):
        if isinstance(form, dict) and isinstance(form.get("data"), str):
            parts.append(read_payload(from_base64(form["data"]), str(form.get("contentType", ""))))
            break  # the others are the same report in other forms (FHIR R4 Section 9.3)
    conclusion = report.get("conclusion")
    if isinstance(conclusion, str) and conclusion.strip() and conclusion not in "".join(parts):
        parts.append(f"IMPRESSION:\n{conclusion}")
    return "\n\n".join(parts).strip()


def _identifiers(resource: Any) -> Iterator[tuple[str, str, str]]:
    """Code of the kind, system and value of each identifier of a resource or a reference."""
    if not isinstance(resource, dict):
        return
    raw = resource.get("identifier")
    for each in _list(raw) if isinstance(raw, list) else [raw]:
        if isinstance(each, dict) and isinstance(each.get("value"), str):
            kind = each.get("type")
            codings = _list(kind.get("coding")) if isinstance(kind, dict) else []
            code = next((c.get("code", "") for c in codings if isinstance(c, dict)), "")
            yield str(code), str(each.get("system", "")), each["value"].strip()


def _uid(value: str) -> str:
    return value.removeprefix(_OID)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
