"""What is done when images come after their study was complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain import Standing
from node.plan.late import Earlier
from node.plan.routing import plan_study
from tests.plan.builders import NOON, ct, dx, instance, model, rule

COMPLETE = NOON + timedelta(hours=1)
LATE_S = 2 * 3600
MODELS = {"ct-lungs": model(), "cxr-view": model("cxr-view", per_image=True)}
MARK = rule(late_images="mark")
SLICES = ct(slices=3)
LATE_SLICE = instance(4, received_s=LATE_S)
SENTENCE = (
    "late: 1 image came after revision 1 was complete; "
    "rule CT chest keeps its results (late_images: mark)"
)


def earlier(*instances, rules=(MARK,)):
    runs = plan_study("1.2", 1, instances, rules, MODELS, "config").runs
    return Earlier(revision=1, complete_at=COMPLETE, runs=runs)


def second(instances, rules, before):
    return plan_study("1.2", 2, instances, rules, MODELS, "config", before)


def test_a_rule_that_marks_keeps_its_results_and_says_so():
    planned = second([*SLICES, LATE_SLICE], [MARK], earlier(*SLICES))

    assert planned.runs == ()
    assert planned.not_run == (SENTENCE,)
    assert planned.late


def test_a_rule_that_reruns_reads_the_series_with_the_late_image():
    planned = second([*SLICES, LATE_SLICE], [rule()], earlier(*SLICES))

    (run,) = planned.runs
    assert len(run.sop_instance_uids) == 4
    assert not planned.late


def test_a_series_that_comes_late_is_late_too():
    planned = second([*SLICES, *ct(series="1.2.2", received_s=LATE_S)], [MARK], earlier(*SLICES))

    assert [run.series_instance_uid for run in planned.runs] == ["1.2.1"]
    assert planned.not_run == (SENTENCE.replace("1 image", "3 images"),)
    assert planned.late


def test_a_model_that_has_made_nothing_of_the_study_reads_what_comes_late():
    planned = second([*SLICES, LATE_SLICE], [MARK], Earlier(1, COMPLETE, runs=()))

    assert len(planned.runs) == 1
    assert not planned.late


def test_one_rule_marks_and_another_reruns():
    radiographs = rule("CXR", when={"Modality": "DX"}, run=["cxr-view"])
    rules = [MARK, radiographs]
    late = dx(2, received_s=LATE_S)

    planned = second([*SLICES, LATE_SLICE, dx(), late], rules, earlier(*SLICES, dx(), rules=rules))

    assert [run.model for run in planned.runs] == ["cxr-view", "cxr-view"]
    assert SENTENCE.replace("1 image", "2 images") in planned.not_run


def test_two_rules_of_one_model_decide_for_their_own_destinations():
    again = rule("again", send_to=["viewer"])

    planned = second([*SLICES, LATE_SLICE], [MARK, again], earlier(*SLICES))

    (run,) = planned.runs
    assert (run.rule, run.destinations) == ("again", ("viewer",))
    assert planned.late


def test_what_has_not_changed_is_planned_as_before():
    before = earlier(*SLICES)

    planned = second([*SLICES, dx(2, received_s=LATE_S)], [MARK], before)

    assert tuple(run.key for run in planned.runs) == tuple(run.key for run in before.runs)
    assert not planned.late


@pytest.mark.parametrize(
    "released", [instance(4), replace(LATE_SLICE, standing_reason="released: another patient")]
)
def test_what_an_administrator_has_released_from_quarantine_is_not_late(released):
    planned = second([*SLICES, released], [MARK], earlier(*SLICES))

    assert len(planned.runs[0].sop_instance_uids) == 4
    assert not planned.late


def test_what_came_late_into_quarantine_does_not_make_the_study_late():
    quarantined = replace(LATE_SLICE, standing=Standing.QUARANTINED, standing_reason="another")

    planned = second([*ct(slices=4), quarantined], [MARK], earlier(*SLICES))

    assert not planned.late
