"""Documents inside messages and objects: PDF, CDA, text, and what only looks like them."""

from __future__ import annotations

import zlib

import pytest

from node.errors import ReportError
from node.report.payload import read_payload
from tests.builders.pdf import pdf

CDA = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole><patient><name>Zebrafinch
</name></patient></patientRole></recordTarget><component><structuredBody>
<component><section><code code="59776-5" codeSystem="2.16.840.1.113883.6.1"/>
<title>What was seen</title><text><paragraph>Large right <content>pneumothorax</content>.
</paragraph><list><item>No effusion.</item><item>Heart normal.</item></list></text></section>
</component><component><section><code code="19005-8" codeSystem="2.16.840.1.113883.6.1"/>
<text>Pneumothorax.<br/>Call at once.</text></section></component></structuredBody></component>
</ClinicalDocument>"""


def test_the_sections_of_a_cda_come_with_their_headings_and_without_the_patient():
    assert read_payload(CDA.encode(), "text/xml").splitlines() == [
        "FINDINGS:",
        "Large right pneumothorax.",
        "No effusion.",
        "Heart normal.",
        "",
        "IMPRESSION:",
        "Pneumothorax.",
        "Call at once.",
    ]


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_entities_and_external_references_are_refused(prologue):
    evil = CDA.replace("<ClinicalDocument", prologue + "<ClinicalDocument", 1)

    with pytest.raises(ReportError, match="cannot be read"):
        read_payload(evil.encode())


def test_a_cda_as_deep_as_it_likes_is_read_or_refused():
    deep = "<content>" * 20_000 + "Pneumothorax" + "</content>" * 20_000
    text = CDA.replace("Pneumothorax.<br/>", deep)

    assert "Pneumothorax" in read_payload(text.encode())


def test_the_pages_of_a_pdf_are_read_in_order():
    text = read_payload(pdf("Large right pneumothorax.", "No effusion.", pages=2))

    assert text.count("Large right pneumothorax.\nNo effusion.") == 2


def test_a_scan_has_no_text_and_says_so():
    with pytest.raises(ReportError, match="no text: the PDF holds none"):
        read_payload(pdf())


@pytest.mark.parametrize("content", [b"%PDF-1.4\ngarbage", b"%PDF-1.7\n" + bytes(range(256)) * 50])
def test_a_damaged_pdf_is_refused(content):
    with pytest.raises(ReportError, match="PDF"):
        read_payload(content)


def test_a_pdf_that_unpacks_to_gigabytes_is_refused_in_time(monkeypatch):
    bomb = zlib.compress(zlib.compress(bytes(2**30), 9), 9)
    body = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (
        len(bomb),
        bomb,
    )
    good = pdf("words")
    stream = good[good.index(b"5 0 obj\n") + 8 : good.index(b"endobj\n", good.index(b"5 0 obj"))]

    with pytest.raises(ReportError, match="PDF"):
        read_payload(good.replace(stream, body + b"\n"))


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(range(32)) * 9])
def test_what_is_no_text_is_refused(content):
    with pytest.raises(ReportError):
        read_payload(content)
