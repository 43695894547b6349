"""Who is read first, and what happens when results are late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from node.domain import StudyState
from node.store.database import database_url
from node.store.files import result_folder
from node.work.product import load_product
from node.work.settle import is_failure
from node.work.urgency import overrun, place_in_queue, shortfall
from node.work.workflow import Flow
from tests.builders import ct_series, records
from tests.builders.network import peer, wait_until
from tests.builders.records import NOON
from tests.work.by_hand import CT_RULE
from tests.work.test_workflow import Script

(RUN,) = records.plan().runs
SOON = replace(RUN, latency_budget_s=60.0)
STAT = replace(RUN, priority=1)
HOUR = timedelta(hours=1)


def test_stat_comes_first_then_the_budget_that_ends_first():
    waiting = {
        "stat": place_in_queue([STAT], NOON + HOUR),
        "stat with a budget": place_in_queue([replace(SOON, priority=1)], NOON + HOUR),
        "soon": place_in_queue([SOON], NOON),
        "the same, later": place_in_queue([SOON], NOON + timedelta(seconds=10)),
        "no budget": place_in_queue([RUN], NOON),
    }
    assert sorted(waiting, key=waiting.__getitem__) == [
        "stat with a budget",
        "stat",
        "soon",
        "the same, later",
        "no budget",
    ]


def test_a_study_is_as_urgent_as_its_most_urgent_run():
    assert place_in_queue([RUN, SOON], NOON) == place_in_queue([SOON], NOON)


def test_a_study_without_a_budget_is_read_at_last():
    assert place_in_queue([RUN], NOON) < place_in_queue([SOON], NOON + 2 * HOUR)


def test_places_are_what_the_queue_can_hold_whatever_the_clock_shows():
    for years in (-40, 0, 100):
        for run in (RUN, STAT, SOON):
            assert 1 <= place_in_queue([run], NOON + timedelta(days=365 * years)) < 1 << 31


def test_results_in_time_and_results_without_a_budget_are_not_late():
    assert overrun(SOON, NOON, NOON + timedelta(seconds=60)) is None
    assert overrun(RUN, NOON, NOON + 9 * HOUR) is None
    late = overrun(SOON, NOON, NOON + timedelta(seconds=75))
    assert str(late) == "results 75 s after the study was complete, of 60 s"


class Held(Script):
    """Steps whose first study waits for the test."""

    def __init__(self):
        super().__init__()
        self.began, self.go = [], Event()

    def plan(self, uid, revision):
        self.began.append(uid)
        if len(self.began) == 1:
            assert self.go.wait(30)
        return super().plan(uid, revision)


def test_of_the_studies_that_wait_the_most_urgent_is_read_next(tmp_path):
    script = Held()
    script.places = {"1.1": 5, "1.2": 9, "1.3": 2, "1.4": 7}
    flow = Flow(script, database_url("sqlite", tmp_path), "this host:work", 1)
    flow.launch()
    try:
        flow.enqueue_study("1.1", 1)
        wait_until(lambda: script.began, within_s=30, what="the first study")
        for uid in ("1.2", "1.3", "1.4"):
            flow.enqueue_study(uid, 1)
        script.go.set()
        wait_until(lambda: len(script.ended) == 4, within_s=60, what="the end of all studies")
    finally:
        script.go.set()
        flow.stop()
    assert script.began == ["1.1", "1.3", "1.4", "1.2"]


def test_a_study_whose_place_cannot_be_found_is_read_all_the_same(tmp_path):
    class Lost(Script):
        def place_in_queue(self, uid, revision):
            raise ZeroDivisionError

    script = Lost()
    flow = Flow(script, database_url("sqlite", tmp_path), "this host:work", 1)
    flow.launch()
    try:
        flow.enqueue_study("1.1", 1)
        wait_until(lambda: script.ended, within_s=30, what="the end of the study")
    finally:
        flow.stop()


def counted(outcome):
    labels = {"rule": "CT", "outcome": outcome}
    return REGISTRY.get_sample_value("wetread_latency_budgets_total", labels) or 0.0


@pytest.mark.parametrize(("seconds", "outcome"), [(59, "met"), (95, "exceeded")])
def test_results_that_are_late_are_recorded_and_counted_and_delivered(open_node, seconds, outcome):
    before = counted(outcome)
    with peer() as pacs:
        node = open_node(port=pacs.port, rules=[{**CT_RULE, "latency_budget_s": 60}])
        uid = node.complete(ct_series(seed="late", slices=4))
        node.clock.advance(seconds=seconds)
        node.make(uid)
        node.deliver()
        assert pacs.stored
    row = node.revision(uid)
    late = (
        "latency budget 0: tiny-segment@1.0.0: results 95 s after the study was complete, of 60 s"
    )
    assert row.state is StudyState.DONE
    assert row.reason == (late if outcome == "exceeded" else "")
    assert counted(outcome) == before + 1


def test_a_run_that_will_not_end_in_time_is_foreseen_where_its_pace_is_known():
    assert shortfall(SOON, NOON, NOON, 59.0) is None
    assert shortfall(SOON, NOON, NOON, None) is None
    assert shortfall(RUN, NOON, NOON, 1e6) is None
    said = shortfall(SOON, NOON, NOON + timedelta(seconds=20), 45.0)
    assert said == (
        "the model was expected to take 45 s when 40 s of the latency budget of 60 s were left"
    )


def test_the_second_late_study_is_foreseen_before_it_is_run_and_its_result_says_so(open_node):
    node = open_node(rules=[{**CT_RULE, "latency_budget_s": 60}])
    for number, foreseen in enumerate([0, 1]):
        uid = node.complete(ct_series(seed=f"late {number}", slices=4))
        node.clock.advance(seconds=95)
        with capture_logs() as lines:
            node.make(uid)
        assert [line["event"] for line in lines].count("budget.short") == foreseen
        # The models of the tests take some milliseconds; none is left.
        _, provenance = load_product(node.files.path(f"{result_folder(uid, 1, 0)}/result.npz"))
        notes = " ".join(provenance.notes)
        assert ("0 s of the latency budget of 60 s were left" in notes) == bool(foreseen)
        forecasts = [row for row in node.ledger.steps(uid, 1) if row.step == "latency forecast"]
        assert [row.problem in notes and row.seconds > 0 for row in forecasts] == [True] * foreseen
        assert not any(map(is_failure, forecasts))


def test_a_planned_study_keeps_its_place_and_one_that_is_not_planned_has_one(open_node):
    node = open_node(rules=[{**CT_RULE, "latency_budget_s": 60}])
    uid = node.complete(ct_series(seed="late", slices=4))
    before = node.steps.place_in_queue(uid, 1)
    node.steps.plan(uid, 1)
    assert node.steps.place_in_queue(uid, 1) == before
    assert before == place_in_queue([SOON], node.revision(uid).complete_at)
