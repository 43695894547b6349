"""What is quarantined or set aside is no input, and the plan says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.domain import Standing
from node.plan.routing import plan_study
from tests.plan.builders import ct, model, rule


def plan(instances):
    return plan_study("1.2", 1, instances, [rule()], {"ct-lungs": model()}, "config")


def standing(instances, where, reason="PatientID is another"):
    return [replace(one, standing=where, standing_reason=reason) for one in instances]


@pytest.mark.parametrize("where", [Standing.QUARANTINED, Standing.SET_ASIDE])
def test_only_what_is_used_is_read(where):
    images = ct(slices=5)

    planned = plan([*images[:3], *standing(images[3:], where)])

    (run,) = planned.runs
    assert run.sop_instance_uids == ("1.2.1.1", "1.2.1.2", "1.2.1.3")


def test_the_plan_says_how_many_are_in_quarantine_and_how_they_are_let_in():
    images = ct(slices=5)

    planned = plan([*images[:3], *standing(images[3:], Standing.QUARANTINED)])

    assert planned.not_run == (
        "2 instances are quarantined: PatientID is another; "
        "`wetread studies release 1.2` lets them in",
    )


def test_the_plan_says_that_another_version_counts():
    images = ct(slices=4)

    planned = plan([*images[:3], *standing(images[3:], Standing.SET_ASIDE, "the first counts")])

    assert planned.not_run == ("1 instance is set aside: the first counts",)


def test_a_reason_for_each_instance_does_not_make_a_sentence_for_each():
    images = ct(slices=40)
    other = [
        one
        for n, image in enumerate(images)
        for one in standing([image], Standing.QUARANTINED, f"{n:02} is in another study")
    ]

    planned = plan(other)

    assert planned.not_run == (
        "1 instance is quarantined: 00 is in another study",
        "1 instance is quarantined: 01 is in another study",
        "1 instance is quarantined: 02 is in another study",
        "37 instances are quarantined for reasons like these; "
        "`wetread studies release 1.2` lets them in",
        "CT chest: the study has no series of images",
    )
