"""Codes of concepts against the DICOM dictionary; mistakes in a lexicon are errors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from pydicom.sr._concepts_dict import concepts as dictionary

from nlp.concepts import concepts
from nlp.data import read_yaml
from nlp.errors import LexiconError
from nlp.labels import label_set
from nlp.lexicon import build, lexicon


@cache
def meanings(scheme: str, value: str) -> frozenset[str]:
    """Every meaning that the DICOM dictionary gives to a code, in lower case."""
    return frozenset(
        meaning.lower()
        for values in dictionary[scheme].values()
        for code, (meaning, _) in values.items()
        if code == value
    )


def codes() -> Iterator[tuple[str, str, str, str]]:
    for concept in concepts().values():
        for code in concept.codes:
            yield concept.id, code.scheme, code.value, code.meaning


def test_every_dicom_and_snomed_code_is_in_the_dictionary_with_its_meaning():
    """Looked up by code: the dictionary's keyword ``Stroke`` is a stroke unit."""
    wrong = [
        (concept, scheme, value, meaning)
        for concept, scheme, value, meaning in codes()
        if scheme in {"SCT", "DCM"} and meaning.lower() not in meanings(scheme, value)
    ]

    assert wrong == []


def test_a_code_names_one_concept_only_and_schemes_are_known():
    seen: dict[tuple[str, str], str] = {}
    for concept, scheme, value, _ in codes():
        assert scheme in {"SCT", "DCM", "RADLEX"}
        assert scheme != "RADLEX" or value.startswith("RID")
        assert seen.setdefault((scheme, value), concept) == concept


def minimal(**changes: Any) -> dict[str, Any]:
    """The English lexicon with something else in it."""
    return {**read_yaml("lexicon_en.yaml"), **changes}


def test_a_form_that_two_concepts_share_is_an_error():
    shared = {"mass": {"forms": ["shadow"]}, "nodule": {"forms": ["(small )shadow"]}}

    with pytest.raises(LexiconError, match="nodule: form 'shadow' belongs to concept mass"):
        build(minimal(concepts=shared), file="lexicon_en.yaml")


def test_an_unknown_concept_or_key_is_an_error():
    with pytest.raises(LexiconError, match="griffin: no such concept"):
        build(minimal(concepts={"griffin": {"forms": ["griffin"]}}), file="lexicon_en.yaml")
    cue = {"id": "odd", "type": "stop", "colour": "red", "forms": ["odd"]}
    with pytest.raises(LexiconError, match="cue odd: unknown key colour"):
        build(minimal(cues=[cue]), file="lexicon_en.yaml")


def test_there_is_no_lexicon_of_another_language():
    with pytest.raises(LexiconError, match="no lexicon for 'fr'; there are en, zh"):
        lexicon("fr")


def test_words_that_yaml_calls_booleans_stay_words():
    assert yaml.safe_load("[no, on]") == [False, True]
    assert read_yaml("lexicon_en.yaml")["cues"][0]["forms"] == ["no"]


def test_the_labels_of_chest14_are_the_data_sets():
    assert label_set("chest14").names == (
        "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
        "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening",
        "Hernia",
    )  # fmt: skip
