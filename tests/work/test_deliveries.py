"""A delivery waits, tries again and gives up as the configuration says."""

from __future__ import annotations

import pytest

from node.domain import DeliveryState, Outcome, ResultKind, StudyState
from tests.builders import ct_series
from tests.builders.network import free_port, peer

RETRY = {"first_s": 5, "longest_s": 60, "give_up_after_h": 2}
FOR_NOW, FOR_GOOD = 0xA700, 0xA900
DELIVERED = Outcome(DeliveryState.DELIVERED, 0x0000, "")


def states(node, uid):
    return {row.kind: row.state for row in node.ledger.deliveries(uid, 1)}


def made(node):
    uid = node.complete(ct_series())
    node.make(uid)
    return uid


def wait_s(node, destination="pacs"):
    """How long the destination is left alone from now on."""
    row = node.ledger.outbox.row(destination)
    return None if row.next_try_at is None else (row.next_try_at - node.clock.now).total_seconds()


def test_the_wait_of_a_pacs_that_is_down_doubles_up_to_the_longest(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)

    waits = []
    for _ in range(7):
        node.deliver()
        waits.append(wait_s(node))
        node.clock.advance(seconds=waits[-1])

    assert waits == [5, 10, 20, 40, 60, 60, 60]
    assert node.revision(uid).state is StudyState.DELIVERING


def test_a_pacs_that_is_down_is_not_called_before_its_wait_is_over(open_node):
    with peer() as reserved:
        port = reserved.port
    node = open_node(port=port, pacs={"retry": RETRY})
    uid = made(node)
    node.deliver()
    with peer(port=port) as pacs:
        node.clock.advance(seconds=4.9)
        node.deliver()
        assert pacs.associations == 0

        node.clock.advance(seconds=0.1)
        node.deliver()
        assert len(pacs.stored) == 3
    assert node.revision(uid).state is StudyState.DONE


def test_while_a_pacs_is_down_no_object_counts_as_tried_and_the_reason_is_kept(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)
    began = node.clock.now

    node.deliver()
    node.clock.advance(seconds=5)
    node.deliver()

    row = node.ledger.outbox.row("pacs")
    assert (row.failures, row.away_since) == (2, began)
    assert "MAINPACS at 127.0.0.1" in row.reason
    assert "cannot be reached: Connection refused" in row.reason
    assert {row.attempts for row in node.ledger.deliveries(uid, 1)} == {0}


def test_a_delivery_is_given_up_after_its_hours_with_the_last_reason(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)
    node.deliver()
    node.clock.advance(hours=2)
    node.senders.mend()
    assert set(states(node, uid).values()) == {DeliveryState.WAITING}

    node.clock.advance(seconds=1)
    node.deliver()
    node.senders.mend()

    row = node.revision(uid)
    assert row.state is StudyState.FAILED
    assert "gave up after 2 h: MAINPACS at 127.0.0.1:" in row.reason
    assert set(states(node, uid).values()) == {DeliveryState.FAILED}


def test_only_what_the_destination_refused_for_now_is_sent_again(open_node):
    with peer(answer=lambda ds: FOR_NOW if ds.Modality == "SEG" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)

        node.deliver()
        assert states(node, uid)[ResultKind.SEG] is DeliveryState.WAITING
        assert node.revision(uid).state is StudyState.DELIVERING
        pacs.answer = lambda _ds: 0
        node.deliver()
        assert len(pacs.stored) == 2
        node.clock.advance(seconds=5)
        node.deliver()

        assert [ds.Modality for ds in pacs.stored] == ["SR", "OT", "SEG"]
    assert node.revision(uid).state is StudyState.DONE
    assert node.revision(uid).reason == ""


def test_one_step_says_how_the_delivery_to_a_destination_ended_and_what_kept_it(open_node):
    def step():
        [found] = [row for row in node.ledger.steps(uid, 1) if row.step == "deliver"]
        return found.subject, found.problem

    with peer(answer=lambda ds: FOR_NOW if ds.Modality == "SEG" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)
        node.deliver()
        assert step() == ("pacs", "refused for now with 0xA700")

        pacs.answer = lambda _ds: 0
        node.clock.advance(seconds=5)
        node.deliver()
        assert step() == ("pacs", "")


def test_an_object_that_is_refused_for_good_fails_and_the_others_arrive(open_node):
    with peer(answer=lambda ds: FOR_GOOD if ds.Modality == "SR" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)

        node.deliver()

        assert [ds.Modality for ds in pacs.stored] == ["SEG", "OT"]
    assert node.revision(uid).state is StudyState.FAILED
    assert node.revision(uid).reason == ("SR of tiny-segment@1.0.0 to pacs: refused with 0xA900")


def test_a_study_that_is_run_again_sends_only_what_was_refused(open_node):
    with peer(answer=lambda ds: FOR_GOOD if ds.Modality == "SR" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)
        node.deliver()
        pacs.answer = lambda _ds: 0
        assert node.index.reopen(uid)
        assert node.index.complete_study(node.index.study(uid), node.clock(), "again") == 2

        assert node.make(uid, 2) == ["pacs"]
        node.deliver()

        assert [ds.Modality for ds in pacs.stored] == ["SEG", "OT", "SR"]
    assert node.revision(uid, 2).state is StudyState.DONE


def test_an_abandoned_run_fails_the_study_with_its_reason(open_node):
    node = open_node()
    uid = node.complete(ct_series())
    node.steps.plan(uid, 1)

    node.steps.abandon(uid, 1, 0, "internal error: RuntimeError")
    node.steps.hand_over(uid, 1)

    assert node.revision(uid).state is StudyState.FAILED
    assert "tiny-segment@1.0.0: internal error: RuntimeError" in node.revision(uid).reason


@pytest.mark.parametrize("gone_before", ["encode", "deliver"])
def test_a_destination_that_left_the_configuration_fails_by_name(open_node, gone_before):
    before = open_node()
    uid = before.complete(ct_series())
    before.steps.plan(uid, 1)
    before.steps.infer(uid, 1, 0)
    if gone_before == "deliver":
        before.steps.encode(uid, 1, 0)
    elsewhere = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 105}
    rule = {"name": "CT", "when": {"Modality": "CT"}, "run": ["tiny-segment"]}
    node = open_node(destinations={"archive": elsewhere}, rules=[{**rule, "send_to": ["archive"]}])

    if gone_before == "encode":
        assert node.steps.encode(uid, 1, 0)
    node.steps.hand_over(uid, 1)
    node.senders.mend()

    assert node.revision(uid).state is StudyState.FAILED
    assert "the configuration has no destination 'pacs' any more" in node.revision(uid).reason


def test_a_plain_destination_gets_the_picture_only(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "plain"})
        uid = made(node)

        node.deliver()

        assert [ds.Modality for ds in pacs.stored] == ["OT"]
    assert set(node.objects(uid)) == {"0-sc.dcm"}
    assert node.revision(uid).state is StudyState.DONE


def test_a_revision_is_not_settled_while_another_destination_waits(open_node):
    down = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": free_port(), "timeout_s": 5}
    with peer() as pacs:
        up = {**down, "ae_title": "MAINPACS", "port": pacs.port}
        rule = {"name": "CT", "when": {"Modality": "CT"}, "run": ["tiny-segment"]}
        node = open_node(
            destinations={"pacs": up, "archive": down},
            rules=[{**rule, "send_to": ["pacs", "archive"]}],
        )
        uid = made(node)

        node.deliver("archive")
        node.deliver("pacs")

        assert len(pacs.stored) == 3
    assert node.revision(uid).state is StudyState.DELIVERING
    assert node.revision(uid).finished_at is None


def test_what_is_sent_before_the_last_run_is_made_does_not_end_the_revision(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port)
        uid = node.complete(ct_series())
        node.steps.plan(uid, 1)
        node.steps.infer(uid, 1, 0)
        node.steps.encode(uid, 1, 0)

        node.deliver()

        assert len(pacs.stored) == 3
        assert node.revision(uid).finished_at is None
        node.steps.hand_over(uid, 1)
    assert node.revision(uid).state is StudyState.DONE


def test_a_revision_that_a_crash_left_unsettled_is_settled_by_the_next_process(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)
        for row in node.ledger.deliveries(uid, 1):
            node.ledger.record_outcome(row.sop_instance_uid, "pacs", DELIVERED, node.clock())

        open_node(port=pacs.port).senders.mend()

        assert node.revision(uid).state is StudyState.DONE
        assert pacs.associations == 0


def test_what_a_stat_rule_asked_for_waits_with_its_priority(open_node):
    rule = {"name": "CT", "when": {"Modality": "CT"}, "run": ["tiny-segment"], "send_to": ["pacs"]}
    node = open_node(rules=[{**rule, "priority": "stat"}])
    uid = made(node)

    assert {row.priority for row in node.ledger.deliveries(uid, 1)} == {1}
