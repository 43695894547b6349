"""Any text gets an answer, in time that grows with its length and no faster."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.assertion import assess
from nlp.extract import extract_findings
from nlp.intake import Intake, decode_text, read_reports
from nlp.labels import label_set, labels_of

WORDS = [
    "no", "effusion", "nodule", "left", "5 mm", "x", "3.1 x 2 cm", "heart", "enlarged", "if", "(",
    ")", ",", ".", ";", ":", "\n", "FINDINGS:", "IMPRESSION:", "history of", "or", "and", "versus",
    "XXXX", "[**Name**]", "***", "recommend ct in 3 months", "未见", "结节", "\uff0c", "。", "右肺",
    "大小约12mm×10mm", "\x00", "\u2028", "\ud800", "ﬁ", "İ", "\t", "\uff11\uff12\uff4d\uff4d",
    "previously", "?",
]  # fmt: skip
texts = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=60).map("".join),
                  st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))  # fmt: skip


@settings(deadline=None)  # the first call loads a lexicon
@given(texts)
def test_evidence_is_what_the_text_says_there_and_json_holds_it(text):
    report = extract_findings(text)

    for finding in report.findings:
        for each in finding.evidence:
            assert text[each.start : each.end] == each.text
            assert each.text
    for advice in report.recommendations:
        assert text[advice.start : advice.end] == advice.text
    labels_of(report, label_set("chest14"))
    json.dumps(report.to_json())


@settings(deadline=None)  # the first call loads a lexicon
@given(texts, st.data())
def test_any_mention_can_be_assessed(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    assert assess(text, start, end).to_json()


@settings(deadline=None)  # the first call loads a lexicon
@given(st.binary(max_size=300).filter(lambda data: b"\x00" not in data))
def test_bytes_of_any_encoding_become_text(data):
    for each in read_reports(decode_text(data)):
        if isinstance(each, Intake):
            extract_findings(each.text)


def calls(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls: a measure of time that no load disturbs."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "piece",
    [
        "No effusion, pneumothorax or edema is seen in the right lung. ",
        "no effusion and pneumothorax or edema with 5 mm nodule ",
        "effusion, ",
        "5 x 4 mm, ",
        "1 x ",
        "(",
        "FINDINGS: ",
        "[**",
        "\n",
        "heart enlarged ",
        "右肺上叶见结节,大小约12mm×10mm,边缘毛刺,",
        "未见",
    ],
)
def test_four_times_the_text_is_four_times_the_work(piece):
    text = piece * (8_000 // len(piece) + 1)
    extract_findings(piece)

    short = calls(lambda: extract_findings(text[:2_000]))
    long = calls(lambda: extract_findings(text[:8_000]))

    assert long < 5 * short + 1_000


def test_a_megabyte_gets_an_answer():
    text = ("word " * 60 + "seen.\n") * 3_300 + "There is a 5 mm nodule in the left lower lobe."

    report = extract_findings(text)

    assert {each.concept for each in report.findings} == {"nodule"}
    assert report.findings[0].sizes_mm == ((5.0,),)
