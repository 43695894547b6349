"""What a study's status says follows from its plans, its steps and its objects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.domain import Standing, StudyState
from node.encode.document import Reference
from node.encode.status import RunState
from node.store.index import RevisionRow
from node.store.ledger import StepRow
from node.work.account import account_of
from node.work.settle import DELIVER, DEVICE_LOST, LEFT_OUT
from tests.builders.records import NOON, instance, plan

[RUN] = plan().runs
SUBJECT = "0: ct-lungs@1.0.0"
SEG = Reference("1.2.840.10008.5.1.4.1.1.66.4", "2.25.1", "2.25.100")
MADE = {RUN.key: (SEG,)}


def revision(number=1, *runs, **difference):
    row = RevisionRow(
        study_instance_uid="1.2.3",
        revision=number,
        complete_at=NOON,
        complete_reason="no new instance for 60 s",
        state=StudyState.QUEUED,
        reason="",
        plan=plan(revision=number, runs=runs or (RUN,)),
        finished_at=None,
    )
    return replace(row, **difference)


def step(name, problem="", subject=SUBJECT):
    return StepRow(name, subject, 0.1, NOON, problem)


def account(*revisions, steps=(), made=MADE, instances=None):
    return account_of(revisions, steps, made, instances or [instance(1)])


def on_images(*numbers, **difference):
    return replace(RUN, sop_instance_uids=tuple(f"1.2.3.1.{n}" for n in numbers), **difference)


def test_a_run_with_objects_has_succeeded():
    [run] = account(revision()).runs
    assert (run.state, run.objects, run.reason) == (RunState.SUCCEEDED, (SEG,), "")


def test_a_run_without_anything_is_pending():
    [run] = account(revision(), made={}).runs
    assert run.state is RunState.PENDING


@pytest.mark.parametrize("name", ["infer", "encode", "run"])
def test_a_step_that_failed_is_the_reason(name):
    [run] = account(revision(), steps=[step(name, "gap of 5.00 mm")], made={}).runs
    assert (run.state, run.reason) == (RunState.FAILED, f"{name}: gap of 5.00 mm")


def test_a_run_that_its_gate_refused_is_not_eligible_and_not_failed():
    [run] = account(revision(), steps=[step(LEFT_OUT, "lateral view")], made={}).runs
    assert (run.state, run.reason) == (RunState.NOT_ELIGIBLE, "lateral view")


@pytest.mark.parametrize("name", [DELIVER, f"{DEVICE_LOST} 1"])
def test_what_was_tried_again_or_is_not_delivered_is_no_failure_of_the_run(name):
    [run] = account(revision(), steps=[step(name, "away")]).runs
    assert run.state is RunState.SUCCEEDED


def test_another_runs_failure_is_not_this_ones():
    other = step("infer", "broken", subject="1: ct-lungs@1.0.0")
    [run] = account(revision(), steps=[other]).runs
    assert run.state is RunState.SUCCEEDED


def test_earlier_results_on_other_images_hold_and_say_of_which_revision_they_are():
    before, now = on_images(1), on_images(2, inputs_digest="f" * 64)
    made = {before.key: (SEG,), now.key: (SEG,)}
    runs = account(revision(1, before), revision(2, now), made=made).runs
    assert [run.reason for run in runs] == ["", "the results of revision 1 hold"]


def test_results_on_images_that_were_read_again_are_replaced():
    before, now = on_images(1), on_images(1, 2, inputs_digest="f" * 64)
    made = {before.key: (SEG,), now.key: (SEG,)}
    [run] = account(revision(1, before), revision(2, now), made=made).runs
    assert run.reason == ""


def test_another_models_results_on_the_same_images_hold():
    before, now = on_images(1, model="ct-liver"), on_images(1)
    made = {before.key: (SEG,), now.key: (SEG,)}
    runs = account(revision(1, before), revision(2, now), made=made).runs
    assert [run.model for run in runs] == ["ct-lungs", "ct-liver"]


def test_an_earlier_run_that_has_made_nothing_is_not_counted_again():
    before, now = on_images(1, inputs_digest="9" * 64), on_images(2)
    [run] = account(revision(1, before), revision(2, now), made={now.key: (SEG,)}).runs
    assert run.state is RunState.SUCCEEDED


def test_a_study_that_was_given_up_before_its_plan_says_why():
    row = revision(plan=None, reason="plan: internal error: ValueError")
    assert account(row).not_run == ("plan: internal error: ValueError",)


def test_only_what_is_used_is_named_as_looked_at():
    aside = instance(2, standing=Standing.SET_ASIDE)
    found = account(revision(), instances=[instance(3), aside, instance(1)])
    assert [one.sop_instance_uid for one in found.inputs] == ["1.2.3.1.1", "1.2.3.1.3"]
