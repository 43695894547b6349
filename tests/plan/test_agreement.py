"""When report and model agree, contradict each other, or cannot be compared."""

from __future__ import annotations

import pytest

from nlp.concepts import ancestors
from node.plan.agreement import (
    Call,
    Mention,
    ModelSays,
    Outcome,
    Question,
    ReportSays,
    call_of,
    compare,
)
from node.plan.drift import drift

PNEUMOTHORAX = Question("pneumothorax", "pleura")


def mention(concept="pneumothorax", presence="present", *, counts=True, laterality=""):
    return Mention(ancestors(concept), concept, presence, counts, laterality)


def report(*mentions, normal=(), key="r", revision=1):
    return ReportSays(key, revision, mentions, frozenset(normal))


def model(call, question=PNEUMOTHORAX, value=1.0, run_key="k"):
    return ModelSays("m@1", question, call, value, "volume_ml", run_key)


def outcome(reports, *answers):
    [found] = compare(reports, answers)
    return found.outcome


@pytest.mark.parametrize(
    ("presence", "call", "expected"),
    [
        ("present", Call.PRESENT, Outcome.AGREE),
        ("probable", Call.PRESENT, Outcome.AGREE),
        ("absent", Call.ABSENT, Outcome.AGREE),
        ("unlikely", Call.ABSENT, Outcome.AGREE),
        ("present", Call.ABSENT, Outcome.REPORT_ONLY),
        ("probable", Call.ABSENT, Outcome.REPORT_ONLY),
        ("absent", Call.PRESENT, Outcome.MODEL_ONLY),
        ("unlikely", Call.PRESENT, Outcome.MODEL_ONLY),
        ("possible", Call.PRESENT, Outcome.NOT_COMPARABLE),
        ("possible", Call.ABSENT, Outcome.NOT_COMPARABLE),
        ("present", Call.UNDECIDED, Outcome.NOT_COMPARABLE),
        ("absent", Call.UNDECIDED, Outcome.NOT_COMPARABLE),
    ],
)
def test_what_each_side_says_decides(presence, call, expected):
    assert outcome([report(mention(presence=presence))], model(call)) is expected


@pytest.mark.parametrize("call", [Call.PRESENT, Call.ABSENT])
def test_not_mentioned_is_not_absent(call):
    assert outcome([report(mention("pleural_effusion"))], model(call)) is Outcome.NOT_COMPARABLE


def test_a_normal_statement_about_the_organ_is_absent():
    says = report(normal=["pleura"])

    assert outcome([says], model(Call.PRESENT)) is Outcome.MODEL_ONLY
    assert outcome([says], model(Call.ABSENT)) is Outcome.AGREE


def test_a_normal_statement_about_another_organ_says_nothing():
    assert outcome([report(normal=["heart"])], model(Call.PRESENT)) is Outcome.NOT_COMPARABLE


def test_without_a_report_nothing_is_compared():
    assert outcome([], model(Call.PRESENT)) is Outcome.NOT_COMPARABLE


def test_what_was_once_or_is_only_asked_for_says_nothing():
    assert outcome([report(mention(counts=False))], model(Call.ABSENT)) is Outcome.NOT_COMPARABLE


def test_a_kind_of_it_that_is_there_is_it():
    says = report(mention("tension_pneumothorax"))

    assert outcome([says], model(Call.PRESENT)) is Outcome.AGREE


def test_a_kind_of_it_that_is_absent_leaves_the_whole_open():
    says = report(mention("tension_pneumothorax", "absent"))

    assert outcome([says], model(Call.PRESENT)) is Outcome.NOT_COMPARABLE


def test_one_side_that_is_there_outweighs_the_other_that_is_not():
    says = report(mention(presence="absent", laterality="left"), mention(laterality="right"))

    assert outcome([says], model(Call.PRESENT)) is Outcome.AGREE


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("left", Outcome.AGREE),
        ("bilateral", Outcome.AGREE),
        ("right", Outcome.NOT_COMPARABLE),
        ("", Outcome.NOT_COMPARABLE),
    ],
)
def test_a_model_of_one_side_is_compared_with_what_is_said_of_that_side(said, expected):
    left = Question("pneumothorax", "pleura", "left")

    found = outcome([report(mention(laterality=said))], model(Call.PRESENT, left))

    assert found is expected


def test_absent_without_a_side_is_absent_on_both():
    left = Question("pneumothorax", "pleura", "left")

    says = report(mention(presence="absent"))

    assert outcome([says], model(Call.PRESENT, left)) is Outcome.MODEL_ONLY


def test_a_later_report_counts_before_an_earlier_one_where_it_speaks_of_it():
    first = report(mention(presence="absent"), key="first")
    second = report(mention(), key="second")
    silent = report(mention("nodule"), key="silent")

    [found] = compare([first, second, silent], [model(Call.PRESENT)])

    assert (found.outcome, found.report_key) == (Outcome.AGREE, "second")


def test_of_several_cases_one_with_it_is_enough():
    found = outcome(
        [report(mention(presence="absent"))],
        model(Call.ABSENT, run_key="a"),
        model(Call.PRESENT, run_key="b"),
    )

    assert found is Outcome.MODEL_ONLY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.0, Call.PRESENT),
        (1.5, Call.PRESENT),
        (1.0, Call.UNDECIDED),
        (0.5, Call.UNDECIDED),
        (0.4, Call.ABSENT),
        (0.0, Call.ABSENT),
    ],
)
def test_between_two_thresholds_a_value_says_nothing(value, expected):
    assert call_of(value, 1.5, 0.5) is expected


def test_with_one_threshold_a_value_is_there_or_not():
    assert [call_of(v, 1.0, None) for v in (0.0, 0.9, 1.0)] == [
        Call.ABSENT,
        Call.ABSENT,
        Call.PRESENT,
    ]


def test_nothing_is_never_there_even_with_a_threshold_of_nothing():
    assert call_of(0.0, 0.0, None) is Call.ABSENT


def studies(discordant, of):
    return [n < discordant for n in range(of)]


def test_a_share_that_rises_alarms():
    found = drift(studies(30, 100) + studies(15, 300), 100, 300)

    assert (found.share, found.baseline_share) == (0.30, 0.05)
    assert found.alarms(3.0)


@pytest.mark.parametrize(
    "history",
    [
        studies(5, 100) + studies(15, 300),
        studies(0, 100) + studies(60, 300),
        studies(20, 100) + studies(0, 20),
        studies(100, 100),
        [],
        studies(0, 400),
        studies(400, 400),
    ],
    ids=["steady", "falling", "few", "no baseline", "none", "never", "always"],
)
def test_a_share_that_does_not_rise_or_of_few_studies_does_not_alarm(history):
    assert not drift(history, 100, 300).alarms(3.0)
