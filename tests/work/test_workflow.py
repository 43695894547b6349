"""The durable flow calls the steps in order and never leaves a study without an end."""

from __future__ import annotations

import pytest

from node.store.database import database_url
from node.work.workflow import Flow
from tests.builders.network import wait_until


class Script:
    """Steps that only note their calls; what a test lists under a call happens at it."""

    def __init__(self, runs=1, **happens):
        self.calls = []
        self.ended = []
        self._runs = runs
        self._happens = {name: list(outcomes) for name, outcomes in happens.items()}

    def _next(self, name, otherwise, *key):
        self.calls.append((name, *key))
        outcomes = self._happens.get(name)
        outcome = outcomes.pop(0) if outcomes else otherwise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def plan(self, _uid, _revision):
        return self._next("plan", self._runs)

    def infer(self, _uid, _revision, run):
        return self._next("infer", True, run)

    def encode(self, _uid, _revision, run):
        return self._next("encode", True, run)

    def hand_over(self, _uid, _revision):
        return self._next("hand_over", ["pacs"])

    def deliver(self, _uid, _revision, destination, attempt):
        return self._next("deliver", None, destination, attempt)

    def settle(self, uid, revision):
        self._next("settle", None)
        self.ended.append((uid, revision, "settled"))

    def abandon(self, _uid, _revision, run, reason):
        return self._next("abandon", None, run, reason)

    def give_up(self, uid, revision, reason):
        self.ended.append((uid, revision, reason))


@pytest.fixture
def play(tmp_path):
    """Send one study through the flow and wait for its end."""
    flows = []

    def start(script):
        flow = Flow(script, database_url("sqlite", tmp_path), 1)
        flows.append(flow)
        flow.launch()
        flow.enqueue_study("1.2.3", 1)
        flow.enqueue_study("1.2.3", 1)
        wait_until(lambda: script.ended, within_s=30, what="the end of the study")
        return flow

    yield start
    for flow in flows:
        flow.stop()


def test_a_study_enqueued_twice_goes_through_its_steps_once(play):
    script = Script(runs=2)

    flow = play(script)

    assert script.calls == [
        ("plan",),
        ("infer", 0),
        ("encode", 0),
        ("infer", 1),
        ("encode", 1),
        ("hand_over",),
        ("deliver", "pacs", 1),
        ("settle",),
    ]
    assert script.ended == [("1.2.3", 1, "settled")]
    assert flow.take_over("another host:work") == 0
    assert flow.poisoned() == []


def test_a_run_that_cannot_be_inferred_is_not_encoded_and_the_next_one_is(play):
    script = Script(runs=2, infer=[False, True])

    play(script)

    assert ("encode", 0) not in script.calls
    assert ("encode", 1) in script.calls


def test_a_delivery_that_must_wait_is_enqueued_again_with_the_next_attempt(play):
    script = Script(deliver=[0.1, 0.1, None])

    play(script)

    tries = [call for call in script.calls if call[0] == "deliver"]
    assert tries == [("deliver", "pacs", attempt) for attempt in (1, 2, 3)]


def test_a_step_that_a_full_disk_stopped_is_called_again(play):
    script = Script(encode=[OSError(28, "No space left on device"), True])

    play(script)

    assert script.calls.count(("encode", 0)) == 2
    assert script.ended == [("1.2.3", 1, "settled")]


@pytest.mark.parametrize("step", ["plan", "hand_over"])
def test_a_step_that_breaks_ends_the_study_as_failed_without_quoting(play, step):
    script = Script(**{step: [RuntimeError("Builder^Patient")]})

    play(script)

    assert script.ended == [("1.2.3", 1, "internal error: RuntimeError")]


@pytest.mark.parametrize("step", ["deliver", "settle"])
def test_a_delivery_that_breaks_ends_the_study_as_failed_too(play, step):
    script = Script(**{step: [RuntimeError("Builder^Patient")]})

    play(script)

    assert script.ended == [("1.2.3", 1, "delivery to pacs: internal error: RuntimeError")]


def test_a_run_that_breaks_is_abandoned_and_the_next_one_goes_on(play):
    script = Script(runs=2, infer=[RuntimeError("unforeseen"), True])

    play(script)

    assert ("abandon", 0, "internal error: RuntimeError") in script.calls
    assert ("encode", 1) in script.calls
    assert script.ended == [("1.2.3", 1, "settled")]
