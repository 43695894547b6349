"""What the ledger promises of steps, artifacts and deliveries."""

from __future__ import annotations

from node.domain import DeliveryState, Outcome, ResultKind
from node.store.ledger import StepRow
from tests.builders.records import NOON, after, artifact


def test_recording_the_same_objects_again_changes_nothing(ledger):
    ledger.record_artifacts([artifact(1), artifact(2)], "key", NOON)
    ledger.record_artifacts([artifact(1), artifact(2)], "key", after(5))

    assert ledger.artifacts("1.2.3", 1) == 2
    assert len(ledger.deliveries("1.2.3", 1)) == 2


def test_every_destination_has_a_row_of_its_own(ledger):
    ledger.record_artifacts([artifact(destinations=("pacs", "archive"))], "key", NOON)

    ledger.record_outcome("2.25.1", "pacs", Outcome(DeliveryState.DELIVERED, 0, ""), after(1))

    states = {row.destination: row.state for row in ledger.deliveries("1.2.3", 1)}
    assert states == {"pacs": DeliveryState.DELIVERED, "archive": DeliveryState.WAITING}


def test_what_is_delivered_stays_delivered(ledger):
    ledger.record_artifacts([artifact()], "key", NOON)
    ledger.record_outcome("2.25.1", "pacs", Outcome(DeliveryState.DELIVERED, 0, ""), after(1))

    ledger.record_outcome(
        "2.25.1", "pacs", Outcome(DeliveryState.FAILED, None, "late news"), after(2)
    )

    assert ledger.deliveries("1.2.3", 1)[0].state is DeliveryState.DELIVERED


def test_segmentations_are_sent_before_the_reports_that_refer_to_them(ledger):
    ledger.record_artifacts(
        [artifact(1, kind=ResultKind.SR), artifact(2, kind=ResultKind.SEG)], "key", NOON
    )

    assert [row.kind for row in ledger.deliveries("1.2.3", 1)] == [ResultKind.SEG, ResultKind.SR]


def test_the_node_knows_its_own_results(ledger):
    ledger.record_artifacts([artifact()], "key", NOON)

    assert ledger.is_own_result("2.25.1")
    assert not ledger.is_own_result("1.2.3.1.1")


def test_a_repeated_step_replaces_its_earlier_row(ledger):
    ledger.record_step("1.2.3", 1, StepRow("infer", "0: ct-lungs", 2.0, NOON, "out of memory"))
    ledger.record_step("1.2.3", 1, StepRow("infer", "0: ct-lungs", 3.0, after(9), ""))

    assert ledger.steps("1.2.3", 1) == [StepRow("infer", "0: ct-lungs", 3.0, after(9), "")]


def test_a_problem_that_quotes_a_broken_element_is_kept(ledger):
    ledger.record_step("1.2.3", 1, StepRow("infer", "0: ct-lungs", 2.0, NOON, "found 'A\0B'"))

    assert ledger.steps("1.2.3", 1)[0].problem == "found 'A\ufffdB'"


def test_a_run_is_known_by_the_first_revision_that_made_it(ledger):
    ledger.record_artifacts([artifact(1)], "key", NOON)
    ledger.record_artifacts([artifact(2, revision=2)], "key", after(9))

    assert ledger.revision_that_made("1.2.3", "key") == 1
    assert ledger.revision_that_made("1.2.3", "another key") is None


def test_a_work_process_is_there_with_its_last_heartbeat_until_it_is_forgotten(ledger):
    ledger.beat("a", NOON)
    ledger.beat("b", NOON)
    ledger.beat("b", after(100))

    assert ledger.heartbeats() == {"a": NOON, "b": after(100)}
    ledger.forget_executor("a")
    assert ledger.heartbeats() == {"b": after(100)}


def test_a_later_revision_sends_again_what_could_not_be_delivered_and_nothing_else(ledger):
    ledger.record_artifacts([artifact(1), artifact(2)], "key", NOON)
    ledger.record_outcome("2.25.1", "pacs", Outcome(DeliveryState.DELIVERED, 0, ""), after(1))
    ledger.record_outcome("2.25.2", "pacs", Outcome(DeliveryState.FAILED, 0xA900, "no"), after(1))

    for _ in range(2):
        waiting = ledger.retry_failed("1.2.3", "key", 2, after(9))
        assert [row.sop_instance_uid for row in waiting] == ["2.25.2"]

    assert [row.sop_instance_uid for row in ledger.deliveries("1.2.3", 1)] == ["2.25.1"]
    assert [row.sop_instance_uid for row in ledger.deliveries("1.2.3", 2)] == ["2.25.2"]
