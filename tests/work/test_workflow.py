"""The durable flow calls the steps in order and never leaves a study without an end."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from node.log import configure_logging
from node.store.database import SQLITE_FILE, database_url
from node.work.workflow import Flow
from tests.builders.network import wait_until

NAME = "Doe^Jane"


class Script:
    """Steps that only note their calls; what a test lists under a call happens at it."""

    def __init__(self, runs=1, **happens):
        self.calls = []
        self.ended = []
        self.places = {}
        self._runs = runs
        self._happens = {name: list(outcomes) for name, outcomes in happens.items()}

    def _next(self, name, otherwise, *key):
        self.calls.append((name, *key))
        outcomes = self._happens.get(name)
        outcome = outcomes.pop(0) if outcomes else otherwise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def place_in_queue(self, uid, _revision):
        return self.places.get(uid, 1)

    def plan(self, _uid, _revision):
        return self._next("plan", self._runs)

    def infer(self, _uid, _revision, run):
        return self._next("infer", True, run)

    def encode(self, _uid, _revision, run):
        return self._next("encode", True, run)

    def hand_over(self, uid, revision):
        self._next("hand_over", None)
        self.ended.append((uid, revision, "handed over"))

    def abandon(self, _uid, _revision, run, reason):
        return self._next("abandon", None, run, reason)

    def give_up(self, uid, revision, reason):
        self.ended.append((uid, revision, reason))


@pytest.fixture
def play(tmp_path):
    """Send one study through the flow and wait for its end."""
    flows = []

    def start(script):
        flow = Flow(script, database_url("sqlite", tmp_path), "this host:work", 1)
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
    ]
    assert script.ended == [("1.2.3", 1, "handed over")]
    assert flow.take_over("another host:work") == 0
    assert flow.poisoned() == []


def test_a_run_that_cannot_be_inferred_is_not_encoded_and_the_next_one_is(play):
    script = Script(runs=2, infer=[False, True])

    play(script)

    assert ("encode", 0) not in script.calls
    assert ("encode", 1) in script.calls


def test_a_step_that_a_full_disk_stopped_is_called_again(play):
    script = Script(encode=[OSError(28, "No space left on device"), True])

    play(script)

    assert script.calls.count(("encode", 0)) == 2
    assert script.ended == [("1.2.3", 1, "handed over")]


@pytest.mark.parametrize("step", ["plan", "hand_over"])
def test_a_step_that_breaks_ends_the_study_as_failed_without_quoting(play, step):
    script = Script(**{step: [RuntimeError("Builder^Patient")]})

    play(script)

    assert script.ended == [("1.2.3", 1, "internal error: RuntimeError")]


def test_a_run_that_breaks_is_abandoned_and_the_next_one_goes_on(play):
    script = Script(runs=2, infer=[RuntimeError("unforeseen"), True])

    play(script)

    assert ("abandon", 0, "internal error: RuntimeError") in script.calls
    assert ("encode", 1) in script.calls
    assert script.ended == [("1.2.3", 1, "handed over")]


EARLIER = """
import sys
from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

DBOS(config={"name": "wetread", "system_database_url": sys.argv[1], "executor_id": "this host:work",
             "application_version": "schema-1", "log_level": "ERROR"})

@DBOS.workflow(name="delivery")
def delivery(study, revision, destination, attempt):
    print("tried")

DBOS.launch()
DBOS.register_queue("deliveries", worker_concurrency=8, polling_interval_sec=0.1,
                    on_conflict="always_update")
for number, delay_s in ((1, None), (2, 3600.0)):
    name = f"delivery/1.2.3/r1/pacs/{number}"
    with SetWorkflowID(name), SetEnqueueOptions(delay_seconds=delay_s):
        DBOS.enqueue_workflow("deliveries", delivery, "1.2.3", 1, "pacs", number)
DBOS.destroy()
"""


def test_deliveries_that_wait_as_workflows_of_the_first_release_are_cancelled(play, tmp_path):
    url = database_url("sqlite", tmp_path)
    subprocess.run([sys.executable, "-c", EARLIER, url], check=True, timeout=60)
    script = Script()

    flow = play(script)

    assert script.ended == [("1.2.3", 1, "handed over")]
    with closing(sqlite3.connect(tmp_path / SQLITE_FILE)) as database:
        rows = database.execute(
            "select workflow_uuid, status from workflow_status where name = 'delivery'"
        ).fetchall()
    states = dict(rows)
    assert set(states) == {"delivery/1.2.3/r1/pacs/1", "delivery/1.2.3/r1/pacs/2"}
    assert states["delivery/1.2.3/r1/pacs/2"] == "CANCELLED"
    assert set(states.values()) <= {"CANCELLED", "SUCCESS"}
    assert flow.poisoned() == []


def test_what_the_workflow_engine_says_is_logged_like_everything_else(play, capsys):
    configure_logging("info", "json", role="work")
    play(Script(infer=[OSError(28, f"no room for {NAME}"), True]))

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert any("retried" in line["event"] for line in lines)
    assert NAME not in json.dumps(lines)
