"""The synthetic corpus is well formed, and covers what it says it covers."""

from __future__ import annotations

from collections import Counter

import pytest

from nlp.concepts import concepts
from nlp.types import Section
from tests.nlp.corpus.files import FOLDER, LANGUAGES, PARTS, bank, reports
from tests.nlp.corpus.marks import Advice, MarkError, Mention, read_marks

LEAST = {"en": 200, "zh": 150}
PITFALLS_OF_BOTH = {
    "abbreviation", "addendum", "change", "clause", "comparison", "conditional", "critical",
    "critical_lookalike", "deid_mask", "device", "dictation", "double_negation", "experiencer",
    "graded", "half_report", "history", "laterality", "left_right_order", "list", "mask_mention",
    "no_recommendation", "normal", "not_a_size", "not_mentioned", "prior_size",
    "pseudo_negation", "recommendation", "resolved", "section", "several_lesions", "severity",
    "template", "upper_case",
}  # fmt: skip
PITFALLS = {
    "en": PITFALLS_OF_BOTH | {"mixed_language", "sizes"},
    "zh": PITFALLS_OF_BOTH | {"full_width", "mixed_language", "post_cue", "traditional"},
}


def test_a_mark_gives_its_offsets_and_what_is_said_of_it():
    marked = read_marks(
        "{FINDINGS:|#findings} No {gas|pneumothorax absent}. {A 12 x 8 mm {node|nodule 12x8 "
        "was:10.5 left larger cat3} needs CT in 6 weeks|!CT 6w}."
    )

    assert marked.text == "FINDINGS: No gas. A 12 x 8 mm node needs CT in 6 weeks."
    gas, node = marked.mentions
    assert gas == Mention(13, 16, "pneumothorax", presence="absent", section="findings")
    assert marked.text[node.start : node.end] == "node"
    assert (node.sizes_mm, node.prior_sizes_mm) == (((12.0, 8.0),), ((10.5,),))
    assert (node.laterality, node.change, node.critical_category) == ("left", "larger", 3)
    assert marked.advice == [Advice(18, len(marked.text) - 1, "CT", 42)]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("No {gas|pneumothorax", "no closing brace"),
        ("No {gas.", "open mark"),
        ("No gas}.", "closing brace alone"),
        ("{gas|pneumothorax absent possible}", "says presence once"),
        ("{gas|Pneumothorax}", "neither a concept nor a word"),
        ("{CT|!CT soon}", "no interval"),
    ],
)
def test_a_mark_that_cannot_be_read_says_why(source, says):
    with pytest.raises(MarkError, match=says):
        read_marks(source)


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_enough_reports_and_a_third_or_so_is_only_scored(language):
    counts = Counter(report.part for report in reports(language))

    assert counts.total() >= LEAST[language]
    assert 0.3 <= counts["scored_only"] / counts.total() <= 0.4


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_pitfall_has_its_reports(language):
    counts = Counter(pitfall for report in reports(language) for pitfall in report.covers)

    assert set(counts) <= PITFALLS[language]
    assert {name for name in PITFALLS[language] if counts[name] < 2} == set()


def test_every_concept_and_section_of_a_mark_exists():
    marked = [mention for report in reports() for mention in report.mentions]

    assert {one.concept for one in marked} - {None} <= set(concepts())
    assert {one.section for one in marked} - {None} <= set(Section)


def test_no_two_reports_share_an_id_or_a_text():
    every = reports()

    assert len({report.id for report in every}) == len(every)
    assert len({report.text for report in every}) == len(every)


def test_the_bank_of_assertions_has_every_presence_in_both_parts():
    for part in PARTS:
        counts = Counter(mention.presence for _, mention in bank("zh", part))

        assert counts.total() >= 150
        assert all(counts[name] >= 3 for name in ("absent", "unlikely", "possible", "probable"))


def test_every_pitfall_is_described():
    described = (FOLDER / "README.md").read_text("utf-8")

    assert [name for name in PITFALLS["en"] | PITFALLS["zh"] if f"`{name}`" not in described] == []
