"""Structured reports and encapsulated documents as they arrive by C-STORE."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from node.errors import ReportError
from node.report.dicom import read_dicom_report
from node.reports import ReportStatus
from tests.builders import ct_series
from tests.builders.pdf import pdf
from tests.builders.sr import (
    FINDINGS,
    IMPRESSIONS,
    coded,
    container,
    encapsulated_pdf,
    structured_report,
    text_item,
)

CHINESE = "右侧大量气胸。"


@pytest.fixture
def image():
    return ct_series(slices=1, AccessionNumber="ACC9", PatientID="CRANIUM1")[0]


@pytest.fixture
def read(tmp_path):
    def save_and_read(ds):
        path = tmp_path / "document.dcm"
        ds.save_as(path, enforce_file_format=True)
        return read_dicom_report(path, "RIS")

    return save_and_read


def test_headings_become_the_headings_of_the_text(read, image):
    report = read(
        structured_report(
            text_item("Chest CT."),
            container(FINDINGS, text_item("Large right pneumothorax."), text_item("No effusion.")),
            container(IMPRESSIONS, text_item("Pneumothorax.", ("121073", "DCM", "Impression"))),
            study=image,
        )
    )

    assert report.text.splitlines() == [
        "FINDINGS:",
        "Chest CT.",
        "Large right pneumothorax.",
        "No effusion.",
        "",
        "IMPRESSION:",
        "Pneumothorax.",
    ]
    assert (report.study_instance_uid, report.accession_numbers) == (
        image.StudyInstanceUID,
        ("ACC9",),
    )
    assert report.reported_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert report.status is ReportStatus.FINAL


@pytest.mark.parametrize("charset", ["GB18030", "ISO_IR 192", ["", "ISO 2022 IR 58"]])
def test_chinese_is_read_in_every_character_set(read, image, charset):
    ds = structured_report(
        container(FINDINGS, text_item(CHINESE)), study=image, SpecificCharacterSet=charset
    )

    assert CHINESE in read(ds).text


def test_coded_findings_are_words_and_circumstances_are_not(read, image):
    code, observer = Dataset(), Dataset()
    code.RelationshipType, code.ValueType = "CONTAINS", "CODE"
    code.ConceptNameCodeSequence = [coded("121071", "DCM", "Finding")]
    code.ConceptCodeSequence = [coded("36118008", "SCT", "Pneumothorax")]
    observer.RelationshipType, observer.ValueType = "HAS OBS CONTEXT", "TEXT"
    observer.ConceptNameCodeSequence = [coded("121008", "DCM", "Person Observer Name")]
    observer.TextValue = "Doctor Quagga"

    report = read(structured_report(observer, container(FINDINGS, code), study=image))

    assert report.text == "FINDINGS:\nPneumothorax"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"VerificationFlag": "UNVERIFIED", "PreliminaryFlag": "PRELIMINARY"}, "preliminary"),
        ({"VerificationFlag": "UNVERIFIED", "CompletionFlag": "PARTIAL"}, "preliminary"),
        ({"predecessor": "1.2.3.4"}, "corrected"),
        ({}, "final"),
    ],
)
def test_flags_say_what_the_report_is(read, image, changes, status):
    item = container(FINDINGS, text_item("x"))

    assert read(structured_report(item, study=image, **changes)).status.value == status


def test_the_document_it_replaces_is_named(read, image):
    item = container(FINDINGS, text_item("x"))

    assert (
        read(structured_report(item, study=image, predecessor="1.9.9")).predecessor_uid == "1.9.9"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"Manufacturer": "Wetread"},
        {"title": ("126000", "DCM", "Imaging Measurement Report")},
    ],
)
def test_what_algorithms_write_is_no_report(read, image, changes):
    item = container(FINDINGS, text_item("Lung volume 3 l"))

    assert read(structured_report(item, study=image, **changes)) is None


def test_a_pdf_is_read(read, image):
    assert (
        "Right pneumothorax."
        in read(encapsulated_pdf(pdf("Right pneumothorax."), study=image)).text
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (lambda i: structured_report(study=i), "no text"),
        (lambda i: encapsulated_pdf(pdf(), study=i), "no text"),
        (lambda i: encapsulated_pdf(b"", study=i), "no text"),
        (lambda i: encapsulated_pdf(b"%PDF-1.4 broken", study=i), "damaged"),
    ],
)
def test_a_document_without_text_says_so(read, image, document, words):
    with pytest.raises(ReportError, match=words):
        read(document(image))


def test_a_tree_of_any_depth_is_read_or_refused(read, image):
    deep = text_item("bottom")
    for _ in range(200):
        deep = container(FINDINGS, deep)

    assert "bottom" in read(structured_report(deep, study=image)).text
