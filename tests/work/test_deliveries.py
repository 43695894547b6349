"""A delivery waits, tries again and gives up as the configuration says."""

from __future__ import annotations

import pytest

from node.domain import DeliveryState, ResultKind, StudyState
from tests.builders import ct_series
from tests.builders.network import free_port, peer

RETRY = {"first_s": 5, "longest_s": 60, "give_up_after_h": 2}
FOR_NOW, FOR_GOOD = 0xA700, 0xA900


def states(node, uid):
    return {row.kind: row.state for row in node.ledger.deliveries(uid, 1)}


def made(node):
    uid = node.complete(ct_series())
    node.make(uid)
    return uid


def test_the_wait_doubles_with_each_try_up_to_the_longest(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)

    waits = [node.deliver(uid, attempt=attempt) for attempt in range(1, 8)]

    assert waits == [5, 10, 20, 40, 60, 60, 60]
    assert node.revision(uid).state is StudyState.DELIVERING
    assert node.deliver(uid, attempt=10_000) == 60


def test_each_try_is_a_step_of_its_own_with_what_kept_it(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)

    for attempt in (1, 2):
        node.clock.advance(seconds=1)
        node.deliver(uid, attempt=attempt)

    tries = [row for row in node.ledger.steps(uid, 1) if row.step == "deliver"]
    assert [row.subject for row in tries] == ["pacs", "pacs (try 2)"]
    assert all("cannot be reached" in row.problem for row in tries)


def test_a_delivery_is_given_up_after_its_hours_with_the_last_reason(open_node):
    node = open_node(port=free_port(), pacs={"retry": RETRY})
    uid = made(node)
    node.clock.advance(hours=2)
    assert node.deliver(uid, attempt=121) == 60

    node.clock.advance(seconds=60)
    assert node.deliver(uid, attempt=122) is None

    row = node.revision(uid)
    assert row.state is StudyState.FAILED
    assert "gave up after 122 tries in 2 h: MAINPACS at 127.0.0.1:" in row.reason
    assert set(states(node, uid).values()) == {DeliveryState.FAILED}


def test_only_what_the_destination_refused_for_now_is_sent_again(open_node):
    with peer(answer=lambda ds: FOR_NOW if ds.Modality == "SEG" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)

        assert node.deliver(uid) == 5
        assert states(node, uid)[ResultKind.SEG] is DeliveryState.WAITING
        pacs.answer = lambda _ds: 0
        assert node.deliver(uid, attempt=2) is None

        assert [ds.Modality for ds in pacs.stored] == ["SR", "OT", "SEG"]
    assert node.revision(uid).state is StudyState.DONE
    assert node.revision(uid).reason == ""


def test_an_object_that_is_refused_for_good_fails_and_the_others_arrive(open_node):
    with peer(answer=lambda ds: FOR_GOOD if ds.Modality == "SR" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)

        assert node.deliver(uid) is None

        assert [ds.Modality for ds in pacs.stored] == ["SEG", "OT"]
    assert node.revision(uid).state is StudyState.FAILED
    assert node.revision(uid).reason == ("SR of tiny-segment@1.0.0 to pacs: refused with 0xA900")


def test_a_study_that_is_run_again_sends_only_what_was_refused(open_node):
    with peer(answer=lambda ds: FOR_GOOD if ds.Modality == "SR" else 0) as pacs:
        node = open_node(port=pacs.port)
        uid = made(node)
        node.deliver(uid)
        pacs.answer = lambda _ds: 0
        assert node.index.reopen(uid)
        assert node.index.complete_study(node.index.study(uid), node.clock(), "again") == 2

        assert node.make(uid, 2) == ["pacs"]
        assert node.deliver(uid, 2) is None

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
    assert node.steps.hand_over(uid, 1) == ["pacs"]
    assert node.deliver(uid) is None

    assert node.revision(uid).state is StudyState.FAILED
    assert "the configuration has no destination 'pacs' any more" in node.revision(uid).reason


def test_a_plain_destination_gets_the_picture_only(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "plain"})
        uid = made(node)

        assert node.deliver(uid) is None

        assert [ds.Modality for ds in pacs.stored] == ["OT"]
    assert set(node.objects(uid)) == {"0-seg.dcm", "1-sr.dcm", "2-sc.dcm"}
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

        assert node.deliver(uid) is None

    assert node.revision(uid).state is StudyState.DELIVERING
    assert node.revision(uid).finished_at is None
