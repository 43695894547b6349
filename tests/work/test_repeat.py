"""Any step may be killed at any line and run again: the rows and the bytes are the same."""

from __future__ import annotations

import pytest

from engines.types import SegmentationResult
from node.domain import DeliveryState, StudyState
from node.store.files import Files, result_folder
from node.store.ledger import Ledger
from node.work.product import load_product
from tests.builders import ct_series
from tests.builders.network import peer

KINDS = {"0-seg-binary.dcm", "1-sr-3d.dcm", "2-sc.dcm"}


class Killed(BaseException):
    """What ends a process; no step may catch it."""


class KilledBeforeTheRow(Ledger):
    """The process ends when it should enter its objects."""

    def record_artifacts(self, *_arguments):
        raise Killed


class KilledInTheFile(Files):
    """The process ends in the middle of the second object."""

    written = 0

    def write(self, relative, chunks):
        if relative.startswith("results/") and relative.endswith(".dcm"):
            self.written += 1
        if self.written == 2:
            (self.data_dir / "parts" / "half.part").write_bytes(b"half")
            raise Killed
        return super().write(relative, chunks)


def deliveries(node, uid, revision=1):
    return [
        (row.sop_instance_uid, row.kind, row.destination, row.state, row.created_at)
        for row in node.ledger.deliveries(uid, revision)
    ]


def test_a_study_that_is_planned_twice_has_the_same_plan(node):
    uid = node.complete(ct_series())

    assert node.steps.plan(uid, 1) == 1
    planned = node.plan(uid)
    assert node.steps.plan(uid, 1) == 1
    assert node.plan(uid) == planned


def test_a_plan_holds_although_the_rules_have_changed_since(node, open_node):
    uid = node.complete(ct_series())
    node.steps.plan(uid, 1)
    rule = {"name": "MR only", "when": {"Modality": "MR"}, "run": ["tiny-segment"]}

    later = open_node(rules=[{**rule, "send_to": ["pacs"]}])

    assert later.steps.plan(uid, 1) == 1
    assert later.plan(uid) == node.plan(uid)


def test_a_result_that_is_inferred_twice_is_the_same_result(node):
    uid = node.complete(ct_series())
    node.steps.plan(uid, 1)
    product = node.files.path(f"{result_folder(uid, 1, 0)}/result.npz")

    assert node.steps.infer(uid, 1, 0)
    first, _ = load_product(product)
    assert node.steps.infer(uid, 1, 0)
    second, _ = load_product(product)

    assert isinstance(first, SegmentationResult)
    assert isinstance(second, SegmentationResult)
    assert first.labelmap.any()
    assert (first.labelmap == second.labelmap).all()
    assert first.measurements == second.measurements


def test_objects_that_are_encoded_twice_are_the_same_to_the_byte(node):
    uid = node.complete(ct_series())
    node.make(uid)
    first, rows = node.objects(uid), deliveries(node, uid)
    assert set(first) == KINDS

    node.clock.advance(hours=5)
    assert node.steps.encode(uid, 1, 0)

    assert node.objects(uid) == first
    assert deliveries(node, uid) == rows
    assert node.ledger.artifacts(uid, 1) == 3


def test_objects_whose_files_were_lost_come_back_the_same_to_the_byte(node, open_node):
    uid = node.complete(ct_series())
    node.make(uid)
    first = node.objects(uid)
    for name in first:
        node.files.path(f"{result_folder(uid, 1, 0)}/{name}").unlink()

    later = open_node()
    assert later.steps.infer(uid, 1, 0)
    assert later.steps.encode(uid, 1, 0)

    assert later.objects(uid) == first


def test_two_nodes_that_get_the_same_images_give_their_objects_the_same_uids(open_node, tmp_path):
    images = ct_series()
    made = []
    for name in ("one", "two"):
        node = open_node(data_dir=tmp_path / name)
        uid = node.complete(images)
        node.make(uid)
        made.append([(row.sop_instance_uid, row.kind) for row in node.ledger.deliveries(uid, 1)])

    assert len(made[0]) == 3
    assert made[0] == made[1]


@pytest.mark.parametrize("killer", [{"ledger": KilledBeforeTheRow}, {"files": KilledInTheFile}])
def test_a_step_that_was_killed_between_file_and_row_leaves_nothing_wrong(open_node, killer):
    dying = open_node(**killer)
    uid = dying.complete(ct_series())
    dying.steps.plan(uid, 1)
    dying.steps.infer(uid, 1, 0)
    with pytest.raises(Killed):
        dying.steps.encode(uid, 1, 0)
    assert dying.ledger.deliveries(uid, 1) == []
    assert "encode" not in {row.step for row in dying.ledger.steps(uid, 1)}

    node = open_node()

    assert node.steps.encode(uid, 1, 0)
    assert set(node.objects(uid)) == KINDS
    assert node.ledger.artifacts(uid, 1) == 3
    assert node.problems(uid) == []


def test_a_hand_over_that_runs_twice_hands_over_once(node):
    uid = node.complete(ct_series())

    node.make(uid)
    node.steps.hand_over(uid, 1)

    assert node.revision(uid).state is StudyState.DELIVERING
    assert len(node.ledger.deliveries(uid, 1, state=DeliveryState.WAITING)) == 3


def test_a_delivery_that_runs_twice_sends_every_object_once(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port)
        uid = node.complete(ct_series())
        node.make(uid)

        node.deliver()
        ended = node.revision(uid)
        node.clock.advance(minutes=1)
        node.steps.hand_over(uid, 1)
        node.deliver()

        assert len(pacs.stored) == 3
    assert node.revision(uid) == ended
    assert ended.state is StudyState.DONE


def test_what_was_delivered_before_the_process_died_is_not_sent_again(open_node):
    class KilledAfterOne(Ledger):
        recorded = 0

        def record_outcome(self, *arguments, **keywords):
            if self.recorded:
                raise Killed
            self.recorded += 1
            super().record_outcome(*arguments, **keywords)

    with peer() as pacs:
        dying = open_node(port=pacs.port, ledger=KilledAfterOne)
        uid = dying.complete(ct_series())
        dying.make(uid)
        with pytest.raises(Killed):
            dying.deliver()
        node = open_node(port=pacs.port)

        node.deliver()

        sent = [str(ds.SOPInstanceUID) for ds in pacs.stored]
    # The second object had arrived, but nobody knew: it is sent again, the same to the byte.
    assert sent.count(sent[0]) == 1
    assert [sent.count(each) for each in sent] == [1, 2, 2, 1]
    assert {row.state for row in node.ledger.deliveries(uid, 1)} == {DeliveryState.DELIVERED}
