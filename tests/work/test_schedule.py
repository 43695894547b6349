"""What the clockwork of a work process closes, mends and takes over."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from node.domain import StudyState
from node.store.database import database_url, open_database
from node.store.index import Index
from node.work.schedule import DEAD_AFTER_S, SLOWEST_SCAN_S, Schedule
from tests.builders import ct_series
from tests.builders.network import wait_until
from tests.builders.records import instance

QUIET_S = 60.0


class Queue:
    """A flow that only notes what is asked of it."""

    executor_id = "this host:work"

    def __init__(self, poisoned=(), give_up=None):
        self.enqueued = []
        self.taken_over = []
        self._poisoned = list(poisoned)
        self.give_up = give_up

    def enqueue_study(self, study_instance_uid, revision):
        self.enqueued.append((study_instance_uid, revision))

    def take_over(self, executor_id):
        self.taken_over.append(executor_id)
        return 1

    def poisoned(self):
        return self._poisoned


@pytest.fixture
def queue():
    return Queue()


class Stopwatch:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def stopwatch():
    return Stopwatch()


def schedule(node, queue, stopwatch=None):
    return Schedule(node.index, node.ledger, queue, QUIET_S, node.clock, stopwatch or Stopwatch())


def test_a_quiet_study_is_closed_and_enqueued_once(node, queue):
    images = ct_series()
    uid = str(images[0].StudyInstanceUID)
    node.receive(images)
    clockwork = schedule(node, queue)

    node.clock.advance(seconds=QUIET_S - 1)
    clockwork.close_quiet_studies()
    assert queue.enqueued == []

    node.clock.advance(seconds=1)
    clockwork.close_quiet_studies()
    clockwork.close_quiet_studies()
    assert queue.enqueued == [(uid, 1)]
    row = node.revision(uid)
    assert row.state is StudyState.QUEUED
    assert row.complete_reason == "no new instance for 60 s; 4 instances in 1 series"


def test_one_more_instance_makes_the_study_wait_again(node, queue):
    images = ct_series()
    node.receive(images[:3])
    node.clock.advance(seconds=QUIET_S - 1)
    node.receive(images[3:])

    node.clock.advance(seconds=1)
    schedule(node, queue).close_quiet_studies()

    assert queue.enqueued == []


def test_a_late_instance_makes_a_second_revision(node, queue):
    images = ct_series()
    uid = str(images[0].StudyInstanceUID)
    clockwork = schedule(node, queue)
    for part in (images[:3], images[3:]):
        node.receive(part)
        node.clock.advance(seconds=QUIET_S)
        clockwork.close_quiet_studies()

    assert queue.enqueued == [(uid, 1), (uid, 2)]


def test_a_revision_that_was_closed_but_not_enqueued_is_enqueued_after_all(node, queue):
    uid = node.complete(ct_series())

    schedule(node, queue).reconcile()

    assert queue.enqueued == [(uid, 1)]


def test_a_revision_that_has_ended_is_not_enqueued_again(node, queue):
    uid = node.complete(ct_series())
    node.index.set_state(uid, 1, StudyState.DONE, "", node.clock())

    schedule(node, queue).reconcile()

    assert queue.enqueued == []


def test_the_work_of_a_silent_process_is_taken_over_once(node, queue, stopwatch):
    node.ledger.beat("dead host:work", node.clock())
    clockwork = schedule(node, queue, stopwatch)
    clockwork.beat()
    clockwork.reconcile()
    stopwatch.seconds += DEAD_AFTER_S - 1
    clockwork.reconcile()
    assert queue.taken_over == []

    stopwatch.seconds += 1
    clockwork.reconcile()
    clockwork.reconcile()

    assert queue.taken_over == ["dead host:work"]


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_process_with_another_clock_is_alive_as_long_as_its_heart_beats(
    node, queue, stopwatch, hours
):
    clockwork = schedule(node, queue, stopwatch)
    for _ in range(5):
        node.ledger.beat("other host:work", node.clock())
        clockwork.reconcile()
        node.clock.advance(hours=hours)
        stopwatch.seconds += DEAD_AFTER_S / 2

    assert queue.taken_over == []


def test_a_process_whose_clock_stands_still_is_seen_to_live(node, queue, stopwatch):
    other = Queue()
    other.executor_id = "other host:work"
    theirs = schedule(node, other)
    ours = schedule(node, queue, stopwatch)
    for _ in range(5):
        theirs.beat()
        ours.reconcile()
        stopwatch.seconds += DEAD_AFTER_S / 2

    assert queue.taken_over == []


def test_a_process_never_takes_over_its_own_work(node, queue, stopwatch):
    clockwork = schedule(node, queue, stopwatch)
    clockwork.beat()
    clockwork.reconcile()
    stopwatch.seconds += 3600

    clockwork.reconcile()

    assert queue.taken_over == []


def test_a_clock_that_was_set_back_does_not_keep_a_study_waiting(node, queue, stopwatch):
    images = ct_series()
    uid = str(images[0].StudyInstanceUID)
    node.receive(images)
    clockwork = schedule(node, queue, stopwatch)
    node.clock.advance(hours=-3)

    clockwork.close_quiet_studies()
    stopwatch.seconds += QUIET_S - 1
    clockwork.close_quiet_studies()
    assert queue.enqueued == []

    stopwatch.seconds += 1
    clockwork.close_quiet_studies()
    clockwork.close_quiet_studies()
    assert queue.enqueued == [(uid, 1)]
    assert len(node.index.study_instances(uid)) == len(images)


def test_a_study_that_still_receives_after_the_clock_was_set_back_is_not_closed(
    node, queue, stopwatch
):
    images = ct_series()
    uid = str(images[0].StudyInstanceUID)
    node.receive(images[:1])
    clockwork = schedule(node, queue, stopwatch)
    node.clock.advance(hours=-3)

    for image in images[1:]:
        clockwork.close_quiet_studies()
        stopwatch.seconds += QUIET_S - 1
        node.clock.advance(seconds=QUIET_S - 1)
        node.receive([image])
    clockwork.close_quiet_studies()
    assert queue.enqueued == []

    stopwatch.seconds += QUIET_S
    node.clock.advance(seconds=QUIET_S)
    clockwork.close_quiet_studies()
    assert queue.enqueued == [(uid, 1)]
    assert node.revision(uid).complete_reason.endswith("4 instances in 1 series")


def test_a_clock_that_jumps_ahead_closes_early_and_what_comes_then_makes_a_second_revision(
    node, queue
):
    images = ct_series()
    uid = str(images[0].StudyInstanceUID)
    clockwork = schedule(node, queue)
    node.receive(images[:2])
    node.clock.advance(hours=3)
    clockwork.close_quiet_studies()
    assert queue.enqueued == [(uid, 1)]

    node.receive(images[2:])
    clockwork.close_quiet_studies()
    assert queue.enqueued == [(uid, 1)]
    node.clock.advance(seconds=QUIET_S)
    clockwork.close_quiet_studies()

    assert queue.enqueued == [(uid, 1), (uid, 2)]
    assert node.revision(uid, 2).complete_reason.endswith("4 instances in 1 series")


def test_the_next_scan_is_when_the_next_study_may_fall_quiet(node, queue):
    clockwork = schedule(node, queue)
    assert clockwork.next_scan_in_s() == SLOWEST_SCAN_S

    node.receive(ct_series())
    assert clockwork.next_scan_in_s() == SLOWEST_SCAN_S
    node.clock.advance(seconds=QUIET_S - 0.25)
    assert clockwork.next_scan_in_s() == pytest.approx(0.25)


@pytest.mark.parametrize("state", [StudyState.QUEUED, StudyState.DELIVERING])
def test_a_study_that_ends_the_process_again_and_again_is_marked_failed(node, state):
    uid = node.complete([*ct_series()])
    node.index.set_state(uid, 1, state, "")

    poisoned = [(uid, 1), ("1.2.3.unknown", 1)]
    schedule(node, Queue(poisoned, node.steps.give_up)).reconcile()

    row = node.revision(uid)
    assert row.state is StudyState.FAILED
    assert "again and again" in row.reason
    assert row.finished_at == node.clock.now


def test_a_poisoned_workflow_does_not_change_how_its_study_has_ended(node):
    uid = node.complete(ct_series())
    node.index.set_state(uid, 1, StudyState.DONE, "", node.clock())

    schedule(node, Queue(poisoned=[(uid, 1)])).reconcile()

    assert node.revision(uid).state is StudyState.DONE


def test_the_clockwork_mends_at_its_start_and_stops_when_asked(node, queue):
    node.index.record_instance(instance())
    node.index.complete_study(node.index.study("1.2.3"), node.clock(), "quiet")
    clockwork = schedule(node, queue)

    clockwork.start()
    clockwork.stop()
    clockwork.stop()

    assert queue.enqueued[0] == ("1.2.3", 1)


class AwayAtFirst(Index):
    """An index whose database does not answer the first time."""

    asked = 0

    def receiving_since(self):
        self.asked += 1
        if self.asked == 1:
            raise OperationalError("SELECT", {}, Exception("the database is away"))
        return super().receiving_since()


def test_the_clockwork_goes_on_after_the_database_was_away(node, queue):
    node.receive(ct_series())
    node.clock.advance(seconds=QUIET_S)
    engine = open_database(database_url("sqlite", node.config.data_dir))
    clockwork = Schedule(AwayAtFirst(engine), node.ledger, queue, QUIET_S, node.clock)

    clockwork.start()
    try:
        wait_until(lambda: queue.enqueued, within_s=10, what="the study enqueued")
    finally:
        clockwork.stop()
        engine.dispose()
