"""What an instance is to the index: new, known, or a contradiction; alone and in batches."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import StatementError

from node.domain import Standing, StudyState
from node.store.index import Index
from node.store.standing import Arrival, Receipt
from tests.builders.records import after, artifact, instance

DOE, ROE = "d" * 64, "e" * 64
"""Digests of two patients."""


def of(patient, number=1, **difference):
    return Arrival(instance(number, **difference), patient=patient)


def receipts(index, *arrivals, duplicate_uid="last"):
    return [verdict.receipt for verdict in index.record_instances(arrivals, duplicate_uid)]


def standings(index, study="1.2.3"):
    return [one.standing for one in index.study_instances(study)]


def closed(index, study="1.2.3"):
    """Complete and end the study, so that whatever reopens it shows."""
    index.complete_study(index.study(study), after(60), "quiet")
    index.set_state(study, 1, StudyState.DONE, "", after(61))


def test_a_batch_records_all_its_instances_and_says_what_each_was(index):
    index.record_instance(instance(1))

    found = receipts(index, of("", 1), of("", 2), of("", 2), of("", 2, digest="b" * 64))

    assert found == [Receipt.DUPLICATE, Receipt.NEW, Receipt.DUPLICATE, Receipt.NEW_VERSION]
    assert index.study("1.2.3").instances == 3


def test_a_batch_may_hold_several_studies(index):
    other = {"study_instance_uid": "1.2.4", "series_instance_uid": "1.2.4.1"}

    receipts(index, of(DOE, 1), of(ROE, 2, **other, received_at=after(5)), of(ROE, 3, **other))

    assert index.study("1.2.3").instances == 1
    assert index.study("1.2.4").instances == 2
    assert index.study("1.2.4").last_received_at == after(5)


def test_a_batch_with_a_row_that_cannot_be_written_records_nothing(index):
    no_json = of("", 2, attributes={"Modality": object()})

    with pytest.raises((StatementError, TypeError)):
        receipts(index, of("", 1), no_json)

    assert index.study("1.2.3") is None


def test_a_duplicate_does_not_reopen_a_study(index):
    receipts(index, of(DOE))
    closed(index)

    assert receipts(index, of(DOE, received_at=after(100))) == [Receipt.DUPLICATE]
    assert index.study("1.2.3").state is StudyState.DONE


def test_the_last_version_counts_if_the_policy_says_so(index):
    receipts(index, of(DOE))
    closed(index)

    assert receipts(index, of(DOE, digest="b" * 64)) == [Receipt.NEW_VERSION]
    assert standings(index) == [Standing.USED, Standing.USED]
    assert index.study("1.2.3").state is StudyState.RECEIVING


def test_the_first_version_counts_if_the_policy_says_so(index):
    receipts(index, of(DOE))
    closed(index)

    found = receipts(index, of(DOE, digest="b" * 64), duplicate_uid="first")

    assert found == [Receipt.NEW_VERSION]
    assert standings(index) == [Standing.USED, Standing.SET_ASIDE]
    assert "receive.duplicate_uid" in index.study_instances("1.2.3")[1].standing_reason
    assert index.study("1.2.3").state is StudyState.DONE


def test_another_version_waits_for_a_person_if_the_policy_says_so(index):
    receipts(index, of(DOE))
    closed(index)

    found = receipts(index, of(DOE, digest="b" * 64), duplicate_uid="quarantine")

    assert found == [Receipt.QUARANTINED]
    assert standings(index) == [Standing.USED, Standing.QUARANTINED]
    assert index.study("1.2.3").state is StudyState.DONE


@pytest.mark.parametrize("duplicate_uid", ["first", "quarantine"])
def test_a_version_of_what_is_not_used_is_judged_as_the_first(index, duplicate_uid):
    receipts(index, of(DOE, 1), of(ROE, 2))
    assert standings(index) == [Standing.USED, Standing.QUARANTINED]

    found = receipts(index, of(DOE, 2, digest="b" * 64), duplicate_uid=duplicate_uid)

    assert found == [Receipt.NEW_VERSION]
    assert standings(index)[-1] is Standing.USED


def test_a_series_that_another_study_has_is_quarantined(index):
    receipts(index, of(DOE))

    newcomer = of(DOE, 2, study_instance_uid="1.2.4")

    assert receipts(index, newcomer) == [Receipt.QUARANTINED]
    [kept] = index.study_instances("1.2.4")
    assert kept.standing_reason == "series 1.2.3.1 is already in study 1.2.3"


def test_a_study_whose_instances_are_all_quarantined_is_still_listed(index):
    receipts(index, of(DOE), of(DOE, 2, study_instance_uid="1.2.4"))

    assert index.study("1.2.4").instances == 1


def test_an_image_that_another_study_has_is_quarantined(index):
    receipts(index, of(DOE))

    same_image = of(DOE, study_instance_uid="1.2.4", series_instance_uid="1.2.4.1", digest="b" * 64)

    assert receipts(index, same_image) == [Receipt.QUARANTINED]
    assert "SOP Instance UID 1.2.3.1.1" in index.study_instances("1.2.4")[0].standing_reason


def test_another_patient_in_mid_study_is_quarantined_and_not_named(index):
    receipts(index, of(DOE, 1))

    assert receipts(index, of(ROE, 2), of(DOE, 3)) == [Receipt.QUARANTINED, Receipt.NEW]
    reason = index.study_instances("1.2.3")[1].standing_reason
    assert "PatientID" in reason
    assert ROE not in reason


def test_the_first_instance_that_names_a_patient_decides_whose_study_it_is(index):
    found = receipts(index, of("", 1), of(DOE, 2), of("", 3), of(ROE, 4))

    assert found == [Receipt.NEW, Receipt.NEW, Receipt.NEW, Receipt.QUARANTINED]


def test_what_is_quarantined_claims_neither_patient_nor_series(index):
    receipts(index, of(DOE, 1), of(ROE, 2, series_instance_uid="1.2.3.9"))

    found = receipts(index, of(ROE, 3, study_instance_uid="1.2.4", series_instance_uid="1.2.3.9"))

    assert found == [Receipt.NEW]


def test_contradictions_inside_a_batch_are_seen(index):
    found = receipts(
        index,
        of(DOE, 1),
        of(DOE, 1, digest="b" * 64),
        of(DOE, 2, study_instance_uid="1.2.4"),
        of(ROE, 3),
        duplicate_uid="quarantine",
    )

    assert found == [Receipt.NEW, *[Receipt.QUARANTINED] * 3]


def test_a_result_of_this_node_is_counted_as_returned_and_is_no_input(index, ledger):
    receipts(index, of(DOE))
    ledger.record_artifacts([artifact(1)], "key", after(1))
    closed(index)

    unmarked = of(DOE, 7, sop_instance_uid="2.25.1", received_at=after(90))

    assert receipts(index, unmarked, unmarked) == [Receipt.OWN_RESULT] * 2
    assert index.returned_count("1.2.3") == 1
    assert index.study("1.2.3").instances == 1
    assert index.study("1.2.3").state is StudyState.DONE


def test_a_result_of_another_node_makes_no_study(index):
    marked = Arrival(instance(study_instance_uid="1.2.9"), own_result=True)

    assert receipts(index, marked) == [Receipt.OWN_RESULT]
    assert index.study("1.2.9") is None


def test_batches_of_several_receivers_record_each_instance_once(engine):
    """Overlapping batches in different orders: neither lost, nor twice, nor a deadlock."""
    start = threading.Barrier(4)

    def send(receiver):
        index = Index(engine)
        start.wait(30)
        new = 0
        for first in range(0, 60, 6):
            numbers = range(first, first + 6)
            batch = [
                of(
                    DOE,
                    number,
                    study_instance_uid=f"1.{number % 3}",
                    series_instance_uid=f"1.{number % 3}.1",
                )
                for number in (numbers if receiver % 2 else reversed(numbers))
            ]
            new += receipts(index, *batch).count(Receipt.NEW)
        return new

    with ThreadPoolExecutor(4) as threads:
        new = sum(threads.map(send, range(4)))

    index = Index(engine)
    assert new == 60
    assert sum(index.study(f"1.{study}").instances for study in range(3)) == 60


def test_of_two_studies_that_claim_a_series_at_once_one_has_it(engine):
    start = threading.Barrier(2)
    rounds = 20

    def send(study):
        index = Index(engine)
        found = []
        for number in range(rounds):
            start.wait(30)
            one = of(
                DOE,
                study_instance_uid=f"1.{study}",
                series_instance_uid=f"9.{number}",
                sop_instance_uid=f"9.{number}.{study}",
            )
            found += receipts(index, one)
        return found

    with ThreadPoolExecutor(2) as threads:
        pairs = list(zip(*threads.map(send, range(2)), strict=True))

    assert [sorted(pair) for pair in pairs] == [[Receipt.NEW, Receipt.QUARANTINED]] * rounds
