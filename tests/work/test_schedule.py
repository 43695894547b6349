"""What the clockwork of a work process closes, mends and takes over."""

from __future__ import annotations

import pytest

from node.domain import StudyState
from node.work.schedule import DEAD_AFTER_S, Schedule
from tests.builders import ct_series
from tests.builders.records import instance

QUIET_S = 60.0


class Queue:
    """A flow that only notes what is asked of it."""

    executor_id = "this host:work"

    def __init__(self, poisoned=()):
        self.enqueued = []
        self.taken_over = []
        self._poisoned = list(poisoned)

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


def schedule(node, queue):
    return Schedule(node.index, node.ledger, queue, QUIET_S, node.clock)


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


def test_the_work_of_a_silent_process_is_taken_over_once(node, queue):
    node.ledger.beat("dead host:work", node.clock())
    clockwork = schedule(node, queue)
    clockwork.beat()
    node.clock.advance(seconds=DEAD_AFTER_S)
    clockwork.reconcile()
    assert queue.taken_over == []

    node.clock.advance(seconds=1)
    clockwork.reconcile()
    clockwork.reconcile()

    assert queue.taken_over == ["dead host:work"]


def test_a_process_never_takes_over_its_own_work(node, queue):
    clockwork = schedule(node, queue)
    clockwork.beat()
    node.clock.advance(hours=1)

    clockwork.reconcile()

    assert queue.taken_over == []


@pytest.mark.parametrize("state", [StudyState.QUEUED, StudyState.DELIVERING])
def test_a_study_that_ends_the_process_again_and_again_is_marked_failed(node, state):
    uid = node.complete([*ct_series()])
    node.index.set_state(uid, 1, state, "")

    schedule(node, Queue(poisoned=[(uid, 1), ("1.2.3.unknown", 1)])).reconcile()

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
