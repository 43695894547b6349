"""What the outbox promises of order, waits, leases and ends, in both databases."""

from __future__ import annotations

import pytest

from node.domain import DeliveryState, Outcome, ResultKind
from node.store.outbox import OutboxRow
from tests.builders.records import NOON, after, artifact

LONGEST_S = 900.0
LEASE_S = 60.0


@pytest.fixture
def outbox(ledger):
    ledger.outbox.open(["pacs"])
    ledger.outbox.open(["pacs", "archive"])
    return ledger.outbox


def put(ledger, *numbers, at=NOON, **difference):
    made = [artifact(number, **difference) for number in numbers]
    ledger.record_artifacts(made, "key", at)


def due(outbox, now=NOON, limit=100, **options):
    rows = outbox.due("pacs", now, LONGEST_S, limit, **options)
    return [int(row.sop_instance_uid.split(".")[-1]) for row in rows]


def refused(ledger, number, next_try_at, at=NOON):
    outcome = Outcome(DeliveryState.WAITING, 0xA700, "refused for now with 0xA700")
    ledger.record_outcome(f"2.25.{number}", "pacs", outcome, at, next_try_at)


def test_what_is_due_comes_by_priority_then_age_then_kind(ledger, outbox):
    put(ledger, 1, kind=ResultKind.SC)
    put(ledger, 2, kind=ResultKind.SR)
    put(ledger, 3, kind=ResultKind.SEG)
    put(ledger, 4, at=after(-1))
    put(ledger, 5, at=after(9), priority=1)
    put(ledger, 6, destinations=("archive",))

    assert due(outbox) == [5, 4, 3, 2, 1]
    assert due(outbox, limit=2) == [5, 4]
    assert due(outbox, limit=0) == []


def test_what_was_refused_is_due_when_its_wait_is_over(ledger, outbox):
    put(ledger, 1, 2)
    refused(ledger, 1, after(10))

    assert due(outbox, after(9)) == [2]
    assert due(outbox, after(10)) == [1, 2]
    assert due(outbox, after(10), fresh_only=True) == [2]
    outbox.end_waits("pacs")
    assert due(outbox) == [1, 2]


def test_a_wait_that_was_written_before_the_clock_was_set_back_is_over(ledger, outbox):
    put(ledger, 1)
    refused(ledger, 1, after(10))

    assert due(outbox, after(10 - LONGEST_S)) == []
    assert due(outbox, after(9 - LONGEST_S)) == [1]


def test_a_lease_belongs_to_one_until_it_runs_out(outbox):
    assert outbox.take_lease("pacs", "a", NOON, LEASE_S)
    assert outbox.take_lease("pacs", "a", after(30), LEASE_S)

    assert not outbox.take_lease("pacs", "b", after(89), LEASE_S)
    assert outbox.take_lease("archive", "b", after(89), LEASE_S)
    assert outbox.take_lease("pacs", "b", after(90), LEASE_S)
    assert not outbox.take_lease("pacs", "a", after(90), LEASE_S)


def test_a_lease_from_the_future_does_not_count(outbox):
    outbox.take_lease("pacs", "a", after(3600), LEASE_S)

    assert outbox.take_lease("pacs", "b", NOON, LEASE_S)


def test_a_destination_that_is_away_says_since_when_and_why_until_it_is_back(outbox):
    outbox.note_failure("pacs", 3, "refused", NOON, after(20))

    assert outbox.row("pacs") == OutboxRow("pacs", 3, "refused", NOON, after(20))
    outbox.note_success("pacs")
    assert outbox.row("pacs") == OutboxRow("pacs")
    assert outbox.row("nowhere") == OutboxRow("nowhere")


def test_only_what_is_too_old_is_given_up_and_with_what_kept_it(ledger, outbox):
    outbox.note_failure("pacs", 1, "nobody there", NOON, after(5))
    put(ledger, 1, 2)
    put(ledger, 3, at=after(10))
    refused(ledger, 2, after(5))

    found = outbox.give_up("pacs", "gave up", after(11), before=after(10), limit=10)

    assert found == {("1.2.3", 1)}
    rows = {row.sop_instance_uid: row for row in ledger.deliveries("1.2.3", 1)}
    assert rows["2.25.1"].reason == "gave up: nobody there"
    assert rows["2.25.2"].reason == "gave up: refused for now with 0xA700"
    assert rows["2.25.3"].state is DeliveryState.WAITING


def test_no_more_is_given_up_at_once_than_asked_for(ledger, outbox):
    put(ledger, *range(5))

    assert outbox.give_up("pacs", "gone", NOON, before=None, limit=3)
    assert len(due(outbox)) == 2
    assert outbox.give_up("pacs", "gone", NOON, before=None, limit=3)
    assert not outbox.give_up("pacs", "gone", NOON, before=None, limit=3)


def test_a_summary_counts_what_waits_and_what_has_failed_at_every_destination(ledger, outbox):
    put(ledger, 1, 2, 3)
    ledger.record_outcome("2.25.1", "pacs", Outcome(DeliveryState.FAILED, 0xA900, "no"), after(1))
    outbox.note_failure("pacs", 2, "nobody there", NOON, after(5))

    archive, pacs = outbox.summaries()

    assert (archive.destination, archive.waiting, archive.oldest) == ("archive", 0, None)
    assert (pacs.waiting, pacs.failed, pacs.oldest) == (2, 1, NOON)
    assert (pacs.failures, pacs.away_since, pacs.next_try_at) == (2, NOON, after(5))


def test_destinations_nobody_knows_any_more_are_found_by_what_waits_for_them(ledger, outbox):
    put(ledger, 1, destinations=("pacs", "old"))

    assert outbox.waited_for(["pacs", "archive"]) == ["old"]
    assert sorted(outbox.waited_for([])) == ["old", "pacs"]
