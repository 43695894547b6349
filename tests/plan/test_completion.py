"""A study is complete when nothing has come for its quiet period."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from node.plan.completion import is_complete
from tests.plan.builders import NOON


def test_a_study_is_complete_when_its_quiet_period_is_over():
    assert is_complete(NOON, NOON + timedelta(seconds=59.9), 60) is None
    assert is_complete(NOON, NOON + timedelta(seconds=60), 60) == "no new instance for 60 s"
    assert is_complete(NOON, NOON + timedelta(days=3), 0.5) == "no new instance for 0.5 s"


def test_a_clock_that_was_set_back_makes_the_study_wait():
    assert is_complete(NOON, NOON - timedelta(hours=1), 60) is None


def test_times_of_different_zones_are_compared_as_points_in_time():
    local = NOON.astimezone(timezone(timedelta(hours=5)))

    assert is_complete(NOON, local + timedelta(seconds=59), 60) is None


@pytest.mark.parametrize(
    ("last", "now", "name"),
    [
        (NOON.replace(tzinfo=None), NOON, "last_received_at"),
        (NOON, NOON.replace(tzinfo=None), "now"),
    ],
)
def test_a_time_without_a_timezone_is_a_mistake_of_the_caller(last: datetime, now: datetime, name):
    with pytest.raises(ValueError, match=f"^{name} has no timezone$"):
        is_complete(last, now, 60)
