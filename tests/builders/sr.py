"""Structured reports as reporting systems write them, and encapsulated documents."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from tests.builders.files import change, composite, uid

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
FINDINGS = ("59776-5", "LN", "Findings")
IMPRESSIONS = ("19005-8", "LN", "Impressions")


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def text_item(words: str, name: Sequence[str] = ("121071", "DCM", "Finding")) -> Dataset:
    """A TEXT item."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [coded(*name)]
    item.TextValue = words
    return item


def container(name: Sequence[str], *items: Dataset) -> Dataset:
    """A heading with items under it."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "CONTAINER"
    item.ContinuityOfContent = "SEPARATE"
    item.ConceptNameCodeSequence = [coded(*name)]
    item.ContentSequence = list(items)
    return item


def structured_report(
    *items: Dataset,
    study: Dataset,
    seed: str = "sr",
    title: Sequence[str] = ("11528-7", "LN", "Radiology Report"),
    predecessor: str = "",
    **changes: object,
) -> Dataset:
    """A Basic Text SR in the study of an image."""
    ds = _document(BASIC_TEXT_SR, study, seed)
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(*title)]
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "VERIFIED"
    ds.ContentDate, ds.ContentTime = "20260101", "120000"
    ds.ContentSequence = list(items)
    if predecessor:
        reference, series, earlier = Dataset(), Dataset(), Dataset()
        reference.ReferencedSOPClassUID = BASIC_TEXT_SR
        reference.ReferencedSOPInstanceUID = predecessor
        series.SeriesInstanceUID = "1.2.3"
        series.ReferencedSOPSequence = [reference]
        earlier.StudyInstanceUID = study.StudyInstanceUID
        earlier.ReferencedSeriesSequence = [series]
        ds.PredecessorDocumentsSequence = [earlier]
    return change(ds, changes)


def encapsulated_pdf(content: bytes, *, study: Dataset, seed: str = "pdf") -> Dataset:
    """An encapsulated PDF in the study of an image."""
    ds = _document(ENCAPSULATED_PDF, study, seed)
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return ds


def _document(sop_class_uid: str, study: Dataset, seed: str) -> Dataset:
    modality = "SR" if sop_class_uid == BASIC_TEXT_SR else "DOC"
    ds = composite(sop_class_uid, modality, seed, 1)
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        if keyword in study:
            setattr(ds, keyword, study[keyword].value)
    ds.SeriesInstanceUID = uid(seed, "series")
    return ds
