"""What is in quarantine can be seen, and let in."""

from __future__ import annotations

import pytest

from node.domain import Standing, StudyState
from node.store.quarantine import Quarantine
from node.store.standing import Arrival
from tests.builders.records import after, instance

DOE, ROE = "d" * 64, "e" * 64


@pytest.fixture
def quarantine(engine):
    return Quarantine(engine)


@pytest.fixture
def mixed(index):
    """A finished study of one patient with two images of another."""
    batch = [
        Arrival(instance(1), DOE),
        Arrival(instance(2), ROE),
        Arrival(instance(3, received_at=after(1)), ROE),
    ]
    index.record_instances(batch)
    index.complete_study(index.study("1.2.3"), after(60), "quiet")
    index.set_state("1.2.3", 1, StudyState.DONE, "", after(61))


def test_what_is_in_quarantine_is_listed_newest_first(quarantine, mixed):
    rows = quarantine.list()

    assert [row.sop_instance_uid for row in rows] == ["1.2.3.1.3", "1.2.3.1.2"]
    assert rows[0].received_at == after(1)
    assert "PatientID" in rows[0].reason
    assert [row.sop_instance_uid for row in quarantine.list(limit=1)] == ["1.2.3.1.3"]
    assert len(quarantine.list("1.2.3")) == 2
    assert quarantine.list("1.2.4") == []


def test_quarantined_instances_are_counted_by_study(quarantine, mixed):
    assert quarantine.counts() == {"1.2.3": 2}


def test_an_empty_quarantine_counts_nothing(quarantine):
    assert quarantine.counts() == {}
    assert quarantine.list() == []


def test_a_released_instance_is_used_and_its_study_planned_anew(index, quarantine, mixed):
    assert quarantine.release("1.2.3", "1.2.3.1.2", now=after(100)) == 1

    second = index.study_instances("1.2.3")[1]
    assert second.standing is Standing.USED
    assert second.standing_reason.startswith("released: PatientID")
    study = index.study("1.2.3")
    assert (study.state, study.last_received_at) == (StudyState.RECEIVING, after(100))
    assert index.complete_study(study, after(160), "quiet") == 2
    assert quarantine.counts() == {"1.2.3": 1}


def test_a_whole_study_can_be_released(index, quarantine, mixed):
    assert quarantine.release("1.2.3", now=after(100)) == 2
    assert {one.standing for one in index.study_instances("1.2.3")} == {Standing.USED}


def test_releasing_twice_changes_nothing(index, quarantine, mixed):
    quarantine.release("1.2.3", now=after(100))
    before = index.study("1.2.3"), index.study_instances("1.2.3")

    assert quarantine.release("1.2.3", now=after(200)) == 0
    assert (index.study("1.2.3"), index.study_instances("1.2.3")) == before


def test_releasing_what_is_not_there_releases_nothing(index, quarantine, mixed):
    assert quarantine.release("1.2.3", "9.9", now=after(100)) == 0
    assert quarantine.release("9.9", now=after(100)) == 0
    assert index.study("1.2.3").state is StudyState.DONE
