"""When a condition holds, and what is said when it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.condition import parse_condition
from node.plan.match import explain, holds


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("CT", "CT"),
        ("ct", " CT "),
        (5, 5),
        (5, "5"),
        ("5", 5),
        (5, 5.0),
        (["CT", "MR"], "mr"),
        ("AXIAL", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        ({"not": "HEAD"}, "CHEST"),
        ({"not": "HEAD"}, None),
        ({"not": ["HEAD", "NECK"]}, []),
        ({"contains": "lung"}, "Thorax LUNG 1.0"),
        ({"contains": ["a", "mpr"]}, ["DERIVED", "CT_SOM5 MPR"]),
        ({"matches": "^B[0-9]+f$"}, "B60F"),
        ({"min": 30}, 30),
        ({"min": 30}, "30 "),
        ({"max": 1.5}, ["3.0", "1.25"]),
        ({"min": 18}, "045Y"),
        ({"max": 1}, "003M"),
        ({"present": True}, 0),
        ({"present": False}, ""),
        ({"present": False}, ["", None]),
        ({"min": 1, "not": 3}, 2),
    ],
)
def test_a_condition_holds(condition, value):
    assert holds(parse_condition(condition), value)
    assert explain("Modality", parse_condition(condition), value) is None


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (["CHEST", "THORAX"], "HEAD", "BodyPartExamined is HEAD; expected CHEST or THORAX"),
        ("CHEST", None, "BodyPartExamined is absent; expected CHEST"),
        ("CHEST", ["HEAD", "NECK"], "BodyPartExamined is HEAD and NECK; expected CHEST"),
        ({"min": 30}, 12, "BodyPartExamined is 12; expected at least 30"),
        ({"max": 5}, 7.5, "BodyPartExamined is 7.5; expected at most 5"),
        ({"min": 1, "max": 5}, "x", "BodyPartExamined is x; expected 1 to 5"),
        ({"not": ["LL", "RL"]}, "ll", "BodyPartExamined is ll; expected anything but LL or RL"),
        ({"contains": ["a", "b"]}, "x", "BodyPartExamined is x; expected text with 'a' or 'b'"),
        ({"matches": "^x$"}, "y", "BodyPartExamined is y; expected text that matches '^x$'"),
        ({"present": True}, " ", "BodyPartExamined is absent; expected a value"),
        ({"present": False}, "x", "BodyPartExamined is x; expected no value"),
        (
            {"min": 3, "not": 2},
            2,
            "BodyPartExamined is 2; expected anything but 2 and at least 3",
        ),
        ("CT", "a\nb" + "c" * 50, "BodyPartExamined is a?b" + "c" * 34 + "...; expected CT"),
        (1, True, "BodyPartExamined is True; expected 1"),
    ],
)
def test_a_condition_that_does_not_hold_says_what_was_found_and_expected(
    condition, value, expected
):
    assert not holds(parse_condition(condition), value)
    assert explain("BodyPartExamined", parse_condition(condition), value) == expected


def test_a_value_that_may_hold_patient_data_is_not_repeated():
    reason = explain("SeriesDescription", parse_condition({"contains": "lung"}), "Mr Miller")

    assert reason == "SeriesDescription does not match; expected text with 'lung'"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
)
_CONDITIONS = st.sampled_from(
    [
        "CT",
        5,
        ["CT", 5],
        {"not": "CT"},
        {"contains": "C"},
        {"matches": "C.*T"},
        {"min": 1, "max": 2},
        {"present": True},
    ]
).map(parse_condition)


@given(condition=_CONDITIONS, value=_VALUES)
def test_no_value_is_too_strange_and_holds_agrees_with_explain(condition, value):
    reason = explain("KVP", condition, value)

    assert holds(condition, value) == (reason is None)
    assert reason is None or reason.isprintable()
