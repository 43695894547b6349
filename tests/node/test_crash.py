"""``kill -9`` of any process at any moment, then a restart: the results arrive once."""

from __future__ import annotations

import pytest

from node.domain import StudyState
from node.store.files import RESULTS, own_prefix
from node.store.lane import LANE
from tests.builders import ct_series
from tests.builders.network import Peer, store_all, wait_until

pytestmark = pytest.mark.loopback


def arrived_once(pacs: Peer, uid: str) -> bool:
    """One SEG, one SR and one picture; an object that is sent again is the same to the byte."""
    kinds = {str(ds.SOPInstanceUID): ds.Modality for ds in pacs.of(uid)}
    first = {}
    for ds in pacs.of(uid):
        assert first.setdefault(str(ds.SOPInstanceUID), ds) == ds
    return sorted(kinds.values()) == ["OT", "SEG", "SR"]


def moment(node, uid, step):
    """Wait for the moment just after a step was recorded."""
    if step == "complete":
        wait_until(lambda: node.stores.index.revisions(uid), within_s=60, what="complete")
    else:
        wait_until(
            lambda: any(s.step == step for s in node.stores.ledger.steps(uid, 1)),
            within_s=60,
            what=step,
        )


@pytest.mark.parametrize("step", ["complete", "plan", "infer", "encode", "deliver"])
def test_a_work_process_that_is_killed_is_replaced_and_the_results_arrive_once(node, pacs, step):
    study = ct_series(slices=6, seed=step)
    uid = study[0].StudyInstanceUID
    store_all(node.port, study)
    moment(node, uid, step)

    node.process("work").kill()

    assert node.settled(uid) is StudyState.DONE
    assert arrived_once(pacs, uid)


@pytest.mark.parametrize("file", [RESULTS, LANE])
def test_what_a_killed_work_process_left_half_written_is_swept_by_the_next_one(node, file):
    parts = node.stores.files.data_dir / "parts"
    left = parts / f"{own_prefix(file)}0123.part"
    left.write_bytes(b"half of it")

    node.process("work").kill()

    wait_until(lambda: not left.exists(), within_s=60, what="the next work process")


def test_a_work_process_that_is_killed_in_mid_delivery_delivers_once(node, pacs):
    study = ct_series(slices=6, seed="delivery")
    uid = study[0].StudyInstanceUID
    killed = []

    def kill_at_first(ds):
        if not killed:
            killed.append(ds.SOPInstanceUID)
            node.process("work").kill()
        return 0x0000

    pacs.answer = kill_at_first
    store_all(node.port, study)

    assert node.settled(uid) is StudyState.DONE
    pacs.answer = lambda _ds: 0x0000
    assert killed
    assert arrived_once(pacs, uid)


def test_what_was_acknowledged_before_the_receiver_was_killed_is_processed(node, pacs):
    study = ct_series(slices=6, seed="receiver")
    uid = study[0].StudyInstanceUID
    assert store_all(node.port, study[:3]) == [0x0000] * 3

    receiver = node.process("receive")
    receiver.kill()
    receiver.wait(10)
    wait_until(node.answers, within_s=60, what="the receiver again")
    assert store_all(node.port, study) == [0x0000] * 6

    wait_until(
        lambda: len(node.stores.index.study_instances(uid)) == 6, within_s=10, what="six slices"
    )
    revision = node.stores.index.study(uid).revision or 1
    assert node.settled(uid, revision=revision) is StudyState.DONE
    assert "SEG" in {ds.Modality for ds in pacs.of(uid)}


def test_a_killed_supervisor_leaves_no_process_and_a_restart_goes_on(node, pacs):
    study = ct_series(slices=6, seed="supervisor")
    uid = study[0].StudyInstanceUID
    store_all(node.port, study)
    moment(node, uid, "complete")
    supervisor = node.process("supervisor")
    children = supervisor.children()

    supervisor.kill()
    supervisor.wait(10)
    for child in children:
        child.wait(30)
    node.stop()
    node.start()

    assert node.settled(uid) is StudyState.DONE
    assert arrived_once(pacs, uid)
