"""What the index promises of instances, studies and revisions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy.exc import StatementError

from node.domain import StudyState
from node.store.database import open_database
from node.store.index import Index
from node.store.standing import Arrival, Receipt
from tests.builders.records import NOON, after, instance, plan


def test_the_same_bytes_are_one_instance(index):
    assert index.record_instance(instance()) is Receipt.NEW
    assert index.record_instance(instance()) is Receipt.DUPLICATE
    assert index.study("1.2.3").instances == 1


def test_other_bytes_under_the_same_uid_are_kept_as_a_version(index):
    index.record_instance(instance())

    assert index.record_instance(instance(digest="b" * 64)) is Receipt.NEW_VERSION
    assert len(index.study_instances("1.2.3")) == 2


def test_the_same_sop_instance_uid_in_two_series_is_two_instances(index):
    index.record_instance(instance())

    assert index.record_instance(instance(series_instance_uid="1.2.3.2")) is Receipt.NEW


def test_an_instance_comes_back_as_it_was_recorded(index):
    recorded = instance(attributes={"ImageType": ["ORIGINAL", "PRIMARY"], "Rows": 512})
    index.record_instance(recorded)

    assert index.study_instances("1.2.3") == [recorded]


def test_a_study_is_quiet_once_nothing_came_for_the_quiet_period(index):
    index.record_instance(instance(1))
    index.record_instance(instance(2, received_at=after(30)))

    assert index.quiet_studies(after(89), 60) == []
    assert [s.study_instance_uid for s in index.quiet_studies(after(90), 60)] == ["1.2.3"]


def test_an_instance_that_commits_late_does_not_shorten_the_quiet_period(index):
    index.record_instance(instance(2, received_at=after(30)))
    index.record_instance(instance(1, received_at=NOON))

    assert index.study("1.2.3").last_received_at == after(30)


def test_an_instance_that_arrives_before_the_study_is_closed_keeps_it_open(index):
    index.record_instance(instance(1))
    seen = index.study("1.2.3")
    index.record_instance(instance(2, received_at=after(61)))

    assert index.complete_study(seen, after(61), "quiet") is None
    assert index.study("1.2.3").state is StudyState.RECEIVING


def test_closing_twice_makes_one_revision(index):
    index.record_instance(instance())
    seen = index.study("1.2.3")

    assert index.complete_study(seen, after(60), "quiet") == 1
    assert index.complete_study(seen, after(60), "quiet") is None
    assert [r.revision for r in index.revisions("1.2.3")] == [1]


def test_a_late_instance_opens_the_study_for_revision_two(index):
    index.record_instance(instance(1))
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    index.record_instance(instance(2, received_at=after(100)))

    assert index.study("1.2.3").state is StudyState.RECEIVING
    assert index.complete_study(index.study("1.2.3"), after(160), "quiet") == 2


def test_the_end_of_an_earlier_revision_does_not_close_a_study_that_receives_again(index):
    index.record_instance(instance(1))
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    index.record_instance(instance(2, received_at=after(100)))

    index.set_state("1.2.3", 1, StudyState.DONE, "", after(101))

    assert index.study("1.2.3").state is StudyState.RECEIVING
    assert index.revision("1.2.3", 1).state is StudyState.DONE


def test_a_frozen_plan_never_changes(index):
    index.record_instance(instance())
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    first = plan()

    assert index.store_plan(first) == first
    assert index.store_plan(plan(runs=(), not_run=("changed my mind",))) == first
    assert index.revision("1.2.3", 1).plan == first


def test_returned_results_are_counted_once_each(index):
    own = Arrival(instance(sop_instance_uid="2.25.1"), own_result=True)

    index.record_instances([own, own])
    index.record_instances([own])

    assert index.returned_count("1.2.3") == 1


def test_a_time_without_timezone_is_refused(index):
    with pytest.raises(StatementError, match="naive datetime"):
        index.record_instance(instance(received_at=datetime(2026, 3, 2, 12, 0)))  # noqa: DTZ001


def test_many_threads_record_the_same_instances_once(index):
    def record_all():
        for number in range(25):
            index.record_instance(instance(number))

    threads = [threading.Thread(target=record_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert index.study("1.2.3").instances == 25


def test_roles_that_plan_a_revision_at_once_get_the_same_plan(index):
    index.record_instance(instance())
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    start = threading.Barrier(6)

    def store(number):
        start.wait(30)
        return index.store_plan(plan(config_digest=f"{number:064x}"))

    with ThreadPoolExecutor(6) as threads:
        stored = list(threads.map(store, range(6)))

    assert stored == [index.revision("1.2.3", 1).plan] * 6


def test_opening_a_database_again_keeps_what_is_in_it(empty_url):
    first = open_database(empty_url)
    Index(first).record_instance(instance())
    first.dispose()

    second = open_database(empty_url)
    assert Index(second).study("1.2.3").instances == 1
    second.dispose()


def test_roles_that_start_at_once_make_one_schema(empty_url):
    start = threading.Barrier(6)

    def open_and_use(number):
        start.wait(30)
        engine = open_database(empty_url)
        receipt = Index(engine).record_instance(instance(number))
        engine.dispose()
        return receipt

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(open_and_use, range(6))) == [Receipt.NEW] * 6


def test_roles_that_make_a_database_at_the_same_moment_do_not_lock_each_other_out(tmp_path):
    # Each round meets the moment in which SQLite switches to its log by chance.
    for number in range(25):
        start = threading.Barrier(8)

        def open_it(_, number=number, start=start):
            start.wait(30)
            open_database(f"sqlite:///{tmp_path / str(number)}.sqlite").dispose()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(open_it, range(8)))


def test_an_ended_study_can_be_planned_anew_and_one_in_work_cannot(index):
    index.record_instance(instance())
    assert not index.reopen("1.2.3")
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    assert not index.reopen("1.2.3")

    index.set_state("1.2.3", 1, StudyState.NOT_ELIGIBLE, "no rule", after(61))

    assert index.reopen("1.2.3")
    assert index.complete_study(index.study("1.2.3"), after(62), "again") == 2
