"""DICOM documents → reports: structured reports, and encapsulated PDF and CDA."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.domain import MANUFACTURER
from node.encode.text import text_value
from node.errors import ReportError
from node.report.charset import repaired
from node.report.heading import compose, section_of
from node.report.payload import MAX_PAYLOAD_BYTES, read_payload
from node.reports import ReportDocument, ReportStatus, ReportWay

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
STRUCTURED_REPORTS: Final = frozenset(
    _STORAGE + last for last in ("88.11", "88.22", "88.33", "88.34")
)
"""Basic Text, Enhanced, Comprehensive and Comprehensive 3D SR Storage."""
ENCAPSULATED: Final = frozenset(_STORAGE + last for last in ("104.1", "104.2"))
"""Encapsulated PDF and CDA Storage."""
DOCUMENTS: Final = STRUCTURED_REPORTS | ENCAPSULATED

MEASUREMENT_TITLES: Final = frozenset({"126000", "126001", "126002", "126003", "111065"})
"""Titles (CID 7021, and DCM 111065) of what algorithms and measuring stations write."""
MEASUREMENT_TEMPLATES: Final = frozenset({"1500", "1411", "1410", "10011", "10001", "4000", "4100"})
MAX_ITEMS: Final = 20_000
_SAID: Final = frozenset({"", "CONTAINS", "HAS PROPERTIES", "INFERRED FROM"})
"""Relationships along which a report says something; the others describe the circumstances."""


def read_dicom_report(path: Path, calling_ae_title: str) -> ReportDocument | None:
    """Read a document that came by C-STORE.

    Returns
    -------
    ReportDocument or None
        None where it is no report of a person: an object of this node, or a measurement report.

    Raises
    ------
    ReportError
        If it cannot be read, is too large, or has no text.
    """
    if path.stat().st_size > MAX_PAYLOAD_BYTES:
        raise ReportError(f"the document has more than {MAX_PAYLOAD_BYTES} bytes")
    with warnings.catch_warnings():
        # Field data breaks value rules all the time; what matters here is what can be read.
        warnings.simplefilter("ignore")
        try:
            ds = dcmread(path)
            return _document(ds, calling_ae_title)
        except ReportError:
            raise
        except Exception as error:  # pydicom raises what its parser meets
            raise ReportError(f"the document cannot be parsed: {type(error).__name__}") from error


def _document(ds: Dataset, calling_ae_title: str) -> ReportDocument | None:
    if text_value(ds, "Manufacturer").upper() == MANUFACTURER.upper():
        return None
    if text_value(ds, "SOPClassUID") in STRUCTURED_REPORTS:
        if _is_measurement_report(ds):
            return None
        text = compose(_parts(ds))
    else:
        content = bytes(ds.get("EncapsulatedDocument", b"") or b"")
        if not content.strip(b"\0"):
            raise ReportError("no text: the encapsulated document is empty")
        text = read_payload(content, text_value(ds, "MIMETypeOfEncapsulatedDocument"))
    if not text.strip():
        raise ReportError("no text: the document has no TEXT item under a heading")
    predecessor = _predecessor(ds)
    own = text_value(ds, "SOPInstanceUID")
    return ReportDocument(
        way=ReportWay.DICOM,
        sender=calling_ae_title,
        identifier=own,
        status=_status(ds, predecessor),
        text=text,
        study_instance_uid=text_value(ds, "StudyInstanceUID"),
        accession_numbers=tuple(filter(None, (text_value(ds, "AccessionNumber"),))),
        patient_ids=tuple(filter(None, (text_value(ds, "PatientID"),))),
        reported_at=_moment(ds),
        source_uid=own,
        predecessor_uid=predecessor,
    )


def _is_measurement_report(ds: Dataset) -> bool:
    if _code(ds, "ConceptNameCodeSequence")[1] in MEASUREMENT_TITLES:
        return True
    templates = ds.get("ContentTemplateSequence", None) or []
    return any(text_value(one, "TemplateIdentifier") in MEASUREMENT_TEMPLATES for one in templates)


def _parts(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Section and words of each item of the content tree that says something, in its order."""
    # Not recursive: how deep the tree is, is up to the sender.
    todo: list[tuple[Dataset, str]] = [(item, "") for item in reversed(_children(ds))]
    for _ in range(MAX_ITEMS):
        if not todo:
            return
        item, section = todo.pop()
        if text_value(item, "RelationshipType") not in _SAID:
            continue
        own = section_of(*_code(item, "ConceptNameCodeSequence"))
        match text_value(item, "ValueType"):
            case "TEXT":
                words = repaired(text_value(item, "TextValue"))
                yield own or section, words.replace("\r\n", "\n").replace("\r", "\n")
            case "CODE" if own:
                yield own, _code(item, "ConceptCodeSequence")[2]
        todo += [(child, own or section) for child in reversed(_children(item))]
    raise ReportError(f"the content tree has more than {MAX_ITEMS} items")


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence", None) or [])


def _code(item: Dataset, keyword: str) -> tuple[str, str, str]:
    """Scheme, value and meaning of the first item of a code sequence."""
    codes: Any = item.get(keyword, None) or []
    if not codes:
        return "", "", ""
    value = text_value(codes[0], "CodeValue") or text_value(codes[0], "LongCodeValue")
    scheme = text_value(codes[0], "CodingSchemeDesignator")
    return scheme, value, text_value(codes[0], "CodeMeaning")


def _predecessor(ds: Dataset) -> str:
    """SOP Instance UID of the document that this one replaces (PS3.3 Section C.17.2)."""
    for study in ds.get("PredecessorDocumentsSequence", None) or []:
        for series in study.get("ReferencedSeriesSequence", None) or []:
            for reference in series.get("ReferencedSOPSequence", None) or []:
                return text_value(reference, "ReferencedSOPInstanceUID")
    return ""


def _status(ds: Dataset, predecessor: str) -> ReportStatus:
    is_draft = text_value(ds, "PreliminaryFlag") == "PRELIMINARY" or (
        text_value(ds, "CompletionFlag") == "PARTIAL"
    )
    if is_draft and text_value(ds, "VerificationFlag") != "VERIFIED":
        return ReportStatus.PRELIMINARY
    return ReportStatus.CORRECTED if predecessor else ReportStatus.FINAL


def _moment(ds: Dataset) -> datetime | None:
    """When its content was written, by the clock of its author; taken as UTC."""
    stamp = text_value(ds, "ContentDate") + (text_value(ds, "ContentTime") + "000000")[:6]
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
