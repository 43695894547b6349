"""When to try again: pure functions of time and chance."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from node.config.destination import Retry
from node.deliver.retry import JITTER, Gate, gate, given_up_before, is_due, wait_s
from tests.builders.records import NOON, after

RETRY = Retry(first_s=5, longest_s=900, give_up_after_h=72)


@given(failures=st.integers(1, 10**9), chance=st.floats(0, 1))
def test_a_wait_is_within_a_fifth_of_the_doubled_one_and_never_longer_than_the_longest(
    failures, chance
):
    whole = min(5 * 2 ** min(failures - 1, 60), 900)

    assert whole * (1 - JITTER) <= wait_s(RETRY, failures, chance) <= whole


def test_without_chance_the_waits_double():
    assert [wait_s(RETRY, n, 0) for n in range(1, 11)] == [
        5,
        10,
        20,
        40,
        80,
        160,
        320,
        640,
        900,
        900,
    ]


def test_a_destination_is_open_shut_and_then_tried():
    assert gate(0, None, NOON, RETRY) is Gate.OPEN
    assert gate(1, after(5), NOON, RETRY) is Gate.SHUT
    assert gate(1, after(5), after(5), RETRY) is Gate.TRIAL


def test_a_wait_that_ends_later_than_any_wait_can_is_over():
    assert not is_due(after(900), NOON, 900)
    assert is_due(after(901), NOON, 900)


def test_a_delivery_is_given_up_after_its_hours():
    assert given_up_before(RETRY, NOON) == NOON - timedelta(days=3)
