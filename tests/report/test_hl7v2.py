"""HL7 messages as systems in the field write them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import ReportError
from node.report.hl7v2 import read_message, reports_of
from node.reports import ReportStatus
from tests.builders.hl7 import oru
from tests.builders.pdf import pdf

CHINESE = ("右侧大量气胸。", "未见胸腔积液。")


def reports(content):
    return reports_of(read_message(content))


def only(content):
    (found,) = reports(content)
    return found


def test_each_obx_is_a_line_and_the_order_says_what_it_belongs_to():
    report = only(oru(["Large right pneumothorax.", "No effusion."], study="1.2.840.1"))

    assert report.text == "FINDINGS:\nLarge right pneumothorax.\nNo effusion."
    assert report.accession_numbers == ("ACC0001",)
    assert report.study_instance_uid == "1.2.840.1"
    assert report.patient_ids == ("CRANIUM1",)
    assert report.modality == "CT"
    assert report.status is ReportStatus.FINAL
    assert report.reported_at == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (r"RUL.\.br\No effusion", "RUL.\nNo effusion"),
        ("RUL.~No effusion", "RUL.\nNo effusion"),
        (r"RUL.\.sp\No effusion", "RUL.\nNo effusion"),
        (r"RUL.\.sp2\No effusion", "RUL.\n\nNo effusion"),
        (r"\H\Right\N\ lung", "Right lung"),
        (r"3 \T\ 4 \S\ 5 \R\ \F\ \E\ ", "3 & 4 ^ 5 ~ | \\ "),
        (r"\X0D0A\next", "\nnext"),
        (r"\Zunknown\kept", "kept"),
        (r"a \ backslash", r"a \ backslash"),
    ],
)
def test_escape_sequences_become_what_they_mean(field, text):
    report = only(oru(observations=[f"OBX|1|FT|X^^L||{field}||||||F"]))

    assert report.text == text.strip("\n")


def test_a_command_for_a_million_lines_gives_few():
    report = only(oru(observations=[r"OBX|1|FT|X^^L||a\.sp999999\b||||||F"]))

    assert len(report.text) < 50


@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("utf-8", None),
        ("gb18030", None),
        ("utf-8", ""),
        ("gb18030", ""),
        ("gb18030", "UNICODE UTF-8"),
        ("utf-8", "GB 18030-2000"),
        ("utf-8", "8859/1"),
        ("gb18030", "8859/1"),
        ("gb18030", "ASCII"),
        ("utf-8", "nobody knows"),
    ],
)
def test_chinese_is_read_whatever_the_message_declares(codec, declared):
    report = only(oru(CHINESE, codec=codec, declared=declared))

    assert report.text == "影像所见\uff1a\n" + "\n".join(CHINESE)


@pytest.mark.parametrize("declared", ["8859/1", "", "UNICODE UTF-8"])
def test_western_letters_are_read_whatever_the_message_declares(declared):
    report = only(oru(["Épanchement pleural à droite."], codec="latin-1", declared=declared))

    assert report.text.endswith("Épanchement pleural à droite.")


@pytest.mark.parametrize(
    ("identifier", "heading"),
    [
        ("19005-8^Impressions^LN", "IMPRESSION:"),
        ("59776-5^Findings^LN", "FINDINGS:"),
        ("24627-2&IMP^CT^LN", "IMPRESSION:"),
        ("X^Impression^L", "IMPRESSION:"),
        ("24627-2&GDT^CT^LN", "FINDINGS:"),
        ("18783-1^Recommendations^LN", "RECOMMENDATION:"),
    ],
)
def test_what_obx_3_says_becomes_a_heading(identifier, heading):
    report = only(oru(observations=[f"OBX|1|TX|{identifier}||Pneumothorax.||||||F"]))

    assert report.text == f"{heading}\nPneumothorax."


def test_a_heading_that_the_text_has_is_not_written_twice():
    report = only(oru(["FINDINGS: clear."]))

    assert report.text == "FINDINGS: clear."


@pytest.mark.parametrize(
    ("obr", "status"),
    [
        ("P", ReportStatus.PRELIMINARY),
        ("F", ReportStatus.FINAL),
        ("C", ReportStatus.CORRECTED),
        ("X", ReportStatus.WITHDRAWN),
    ],
)
def test_obr_25_says_what_the_report_is(obr, status):
    assert only(oru(status=obr)).status is status


def test_without_obr_25_the_observations_say_it():
    content = oru(
        status="",
        observations=[
            "OBX|1|TX|59776-5^^LN||one||||||F",
            "OBX|2|TX|59776-5^^LN||two||||||C",
            "OBX|3|TX|59776-5^^LN||gone||||||D",
        ],
    )

    assert only(content).status is ReportStatus.CORRECTED
    assert only(content).text == "FINDINGS:\none\ntwo"


@pytest.mark.parametrize(
    "extra",
    [
        "ZDS|1.2.3^RIS^Application^DICOM",
        "IPC|ACC0001|RP1|1.2.3|SPS1",
        "OBX|9|HD|113014^DICOM Study^DCM||1.2.3||||||F",
    ],
)
def test_the_study_instance_uid_is_found_where_systems_put_it(extra):
    assert only(oru(extra=[extra])).study_instance_uid == "1.2.3"


def test_an_escaped_separator_in_an_identifier_is_the_separator():
    assert only(oru(accession=r"A\T\7")).accession_numbers == ("A&7",)


def test_what_is_no_uid_is_not_taken_for_one():
    assert only(oru(extra=["ZDS|../../etc/passwd"])).study_instance_uid == ""


def test_several_orders_are_several_reports_and_one_order_in_two_parts_is_one():
    second = [
        "OBR|2||ACC0002|30746-2^CT HEAD^LN" + "|" * 21 + "F",
        "OBX|1|TX|59776-5^^LN||No bleed.||||||F",
        "OBR|3||ACC0001|24627-2^CT^LN" + "|" * 21 + "F",
        "OBX|1|TX|19005-8^^LN||Pneumothorax.||||||F",
    ]

    found = reports(oru(["Large pneumothorax."], extra=second))

    assert {each.identifier: each.text for each in found} == {
        "ACC0001": "FINDINGS:\nLarge pneumothorax.\n\nIMPRESSION:\nPneumothorax.",
        "ACC0002": "FINDINGS:\nNo bleed.",
    }


def test_a_pdf_in_base64_is_read():
    data = base64.b64encode(pdf("Large right pneumothorax.")).decode()

    report = only(oru(observations=[f"OBX|1|ED|18748-4^Report^LN||^AP^PDF^Base64^{data}||||||F"]))

    assert "Large right pneumothorax." in report.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "MSH"),
        (b"hello", "MSH"),
        (b"MSH|||||||", "separators"),
        (b"MSHaaaaaaaaaaa", "separators"),
        (b"MSH|^~\\&" + b"|" * 300_000, "more than"),
        (oru(observations=[]), "no report text"),
        (oru(observations=["OBX|1|NM|X^^L||5||||||F"]), "no report text"),
        (oru(accession=""), "nothing to join"),
        (oru(observations=["OBX|1|ED|X^^L||^AP^PDF^Base64^%%%||||||F"]), "base64"),
        (oru(observations=["OBX|1|ED|X^^L||^AP||||||F"]), "components"),
        (oru(observations=["OBX|1|ED|X^^L||^IM^JPEG^A^xx||||||F"]), "cannot be read"),
    ],
)
def test_what_cannot_be_used_has_a_reason_that_does_not_quote_it(content, words):
    with pytest.raises(ReportError, match=words) as raised:
        reports(content)

    assert "Zebrafinch" not in str(raised.value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_message_gives_reports_or_a_reason(data):
    whole = bytearray(oru(study="1.2.3"))
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))

    try:
        found = reports(bytes(whole))
    except ReportError:
        return
    assert all(each.text or each.status is ReportStatus.WITHDRAWN for each in found)
