"""Reports in files: FHIR, HL7, PDF, CDA and text, and what their bringer says."""

from __future__ import annotations

import base64
import json

import pytest

from node.errors import ReportError
from node.report.file import read_file
from node.reports import ReportStatus, ReportWay
from tests.builders.hl7 import oru
from tests.builders.pdf import pdf


def resource(**changes):
    made = {
        "resourceType": "DiagnosticReport",
        "id": "rep-1",
        "identifier": [{"system": "urn:hospital", "value": "R77"}],
        "status": "final",
        "issued": "2026-01-01T12:00:00+01:00",
        "subject": {"identifier": {"value": "CRANIUM1"}, "display": "Zebrafinch"},
        "basedOn": [{"identifier": {"type": {"coding": [{"code": "ACSN"}]}, "value": "ACC5"}}],
        "imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.5"}}],
        "conclusion": "Right pneumothorax.",
    }
    return {**made, **changes}


def read(content, **told):
    (found,) = read_file(content, **told)
    return found


def encoded(made):
    return json.dumps(made).encode()


def test_a_diagnostic_report_is_read():
    report = read(encoded(resource()))

    assert report.text == "IMPRESSION:\nRight pneumothorax."
    assert (report.way, report.status, report.identifier) == (
        ReportWay.FHIR,
        ReportStatus.FINAL,
        "R77",
    )
    assert (report.accession_numbers, report.study_instance_uid) == (("ACC5",), "1.2.840.5")
    assert report.patient_ids == ("CRANIUM1",)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("application/pdf", pdf("Large pneumothorax.")), ("text/plain", b"Large pneumothorax.")],
)
def test_its_presented_form_is_read_before_its_conclusion(kind, content):
    form = {"contentType": kind, "data": base64.b64encode(content).decode()}

    text = read(encoded(resource(presentedForm=[form]))).text

    assert text.index("Large pneumothorax.") < text.index("Right pneumothorax.")


@pytest.mark.parametrize(
    ("status", "expected"),
    [("amended", "corrected"), ("preliminary", "preliminary"), ("entered-in-error", "withdrawn")],
)
def test_its_status_says_what_it_is(status, expected):
    assert read(encoded(resource(status=status))).status.value == expected


def test_every_report_of_a_bundle_is_read():
    entries = [{"resource": resource()}, {"resource": resource(identifier=[{"value": "R78"}])}]

    found = read_file(encoded({"resourceType": "Bundle", "entry": entries}))

    assert [each.identifier for each in found] == ["R77", "R78"]


def test_an_hl7_message_in_a_file_is_read():
    assert read(oru(["Pneumothorax."])).way is ReportWay.HL7


def test_what_the_bringer_says_counts_before_what_the_file_says():
    report = read(oru(), accession_number="OTHER", identifier="mine")

    assert (report.accession_numbers, report.identifier) == (("OTHER",), "mine")


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16"])
def test_text_is_read_in_any_encoding(codec):
    assert read("右侧大量气胸。".encode(codec), accession_number="A").text == "右侧大量气胸。"


@pytest.mark.parametrize(
    ("content", "told", "words"),
    [
        (b"words", {}, "nothing to join"),
        (b"", {"accession_number": "A"}, "empty"),
        (encoded({"resourceType": "Patient"}), {"accession_number": "A"}, "no DiagnosticReport"),
        (b'{"resourceType": broken', {"accession_number": "A"}, "no JSON"),
        (b'{"resourceType":' + b"[" * 100_000, {"accession_number": "A"}, "no JSON"),
        (encoded(resource(conclusion="")), {}, "no text"),
        (encoded(resource(conclusion=5, presentedForm=[{"data": "%"}])), {}, "base64"),
        (b"\x00\x01\x02" * 50, {"accession_number": "A"}, "no text"),
    ],
)
def test_what_cannot_be_used_has_a_reason(content, told, words):
    with pytest.raises(ReportError, match=words):
        read_file(content, **told)
