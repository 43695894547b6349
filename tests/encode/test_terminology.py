"""The codes mean what we say they mean."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from engines.types import Code
from node import terminology
from node.terminology import MeasurementConcept, measurement_concept, procedure_reported

BEYOND_PYDICOM = {
    ("SCT", "705057003"): "Presence",
    ("SCT", "260415000"): "Not detected",
    ("RFC5646", "en"): "English",
    ("UCUM", "ml"): "milliliter",
    ("UCUM", "{pixels}"): "pixels",
}
"""Not in the context groups of PS3.16, but in the coding scheme itself."""

SPELLED_BY_US = {
    ("UCUM", "mm"): "millimeter",
    ("SCT", "246112005"): "Severity",
}
"""Meanings that pydicom abbreviates, or gives with their semantic tag."""


def codes_in(value):
    if isinstance(value, Code):
        yield value
    elif isinstance(value, MeasurementConcept):
        yield value.concept
    elif isinstance(value, dict):
        for inner in value.values():
            yield from codes_in(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from codes_in(inner)


def known_meanings(scheme, value):
    return {
        entry[value][0].casefold() for entry in concepts.get(scheme, {}).values() if value in entry
    }


@pytest.mark.parametrize(
    "code",
    sorted(
        {code for value in vars(terminology).values() for code in codes_in(value)},
        key=lambda code: (code.scheme, code.value),
    ),
    ids=lambda code: f"{code.scheme} {code.value}",
)
def test_a_code_is_of_the_standard_and_means_what_it_says(code):
    key = (code.scheme, code.value)
    ours = {**BEYOND_PYDICOM, **SPELLED_BY_US}
    if key in ours:
        assert code.meaning == ours[key]
        assert key in SPELLED_BY_US or not known_meanings(*key)
    else:
        assert code.meaning.casefold() in known_meanings(*key)


def test_a_mean_is_of_what_the_modality_measures():
    assert measurement_concept("mean", "[hnsf'U]", "CT").concept.value == "112031"
    assert measurement_concept("mean", "1", "MR").concept.value == "110852"
    assert measurement_concept("mean", "1", "US") is None


def test_an_unknown_modality_is_an_imaging_procedure():
    assert procedure_reported("XX").meaning == "Imaging procedure"
