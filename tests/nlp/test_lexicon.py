"""The lexicons hold what their entries promise: cues and concepts carry their own tests."""

from __future__ import annotations

from typing import Any

import pytest

from nlp.assertion import assess, reaching_cues
from nlp.change import change_of
from nlp.concepts import concepts
from nlp.data import read_yaml
from nlp.document import read_document
from nlp.lexicon import lexicon
from nlp.mentions import find_mentions
from nlp.types import Assertion, Change, Experiencer, Presence

LANGUAGES = ("en", "zh")
RAW = {language: read_yaml(f"lexicon_{language}.yaml") for language in LANGUAGES}
GRADED = {"presence", "historical", "hypothetical", "other", "change"}
"""Types of cues whose negative tests can fail; the effect of the others is to have none."""


def parted(marked: str) -> tuple[str, int, int]:
    """The sentence, and where the part in [brackets] stands in it."""
    before, mention, behind = marked.replace("]", "[").split("[")
    return before + mention + behind, len(before), len(before) + len(mention)


def change_at(marked: str, language: str) -> Change | None:
    text, start, end = parted(marked)
    document = read_document(text, language)
    sentence = document.sentence_at(start)
    return change_of(reaching_cues(document, sentence, start, end), start, end)


def has_effect(cue: dict[str, Any], marked: str, language: str) -> bool:
    assertion = assess(*parted(marked), language=language)
    match cue["type"]:
        case "presence":
            return assertion.presence is Presence(cue["certainty"])
        case "historical" | "hypothetical" | "recent":
            return assertion.temporality == cue["type"]
        case "other":
            return assertion.experiencer is Experiencer.OTHER
        case "change":
            return change_at(marked, language) is Change(cue["change"])
        case _:
            return assertion == Assertion()


def found(sentence: str, language: str) -> set[str]:
    document = read_document(sentence, language)
    return {
        mention.concept for each in document.sentences for mention in find_mentions(document, each)
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lexicon_loads_without_a_form_that_two_entries_share(language):
    assert lexicon(language).language == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_cue_has_its_effect_in_its_positive_tests(language):
    assert [
        (cue["id"], marked)
        for cue in RAW[language]["cues"]
        for marked in cue.get("positive", ())
        if not has_effect(cue, marked, language)
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_cue_has_its_effect_in_its_negative_tests(language):
    assert [
        (cue["id"], marked)
        for cue in RAW[language]["cues"]
        if cue["type"] in GRADED
        for marked in cue.get("negative", ())
        if has_effect(cue, marked, language)
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_concept_is_found_in_its_positive_tests_and_not_in_its_negative_ones(language):
    assert [
        (name, kind, sentence)
        for name, entry in RAW[language]["concepts"].items()
        for kind in ("positive", "negative")
        for sentence in entry.get(kind, ())
        if (name in found(sentence, language)) != (kind == "positive")
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lexicon_has_its_size_and_nothing_without_tests(language):
    cues, named = RAW[language]["cues"], RAW[language]["concepts"]
    entries = [*((cue["id"], cue) for cue in cues), *named.items()]

    assert [
        name for name, one in entries if not one.get("positive") or not one.get("negative")
    ] == []
    assert len(cues) >= 150
    assert len(named) >= 150


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lexicon_names_only_concepts_that_exist(language):
    assert set(RAW[language]["concepts"]) <= set(concepts())
