"""What goes wrong in one run stays there, and the reason reaches whoever looks at the study."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import pytest
from sqlalchemy.exc import OperationalError

from engines.types import Provenance, Result
from node.domain import StudyState
from node.encode.base import write
from node.errors import TransientError
from node.store.files import Files, result_folder
from node.store.ledger import Ledger
from node.work.product import dump_product
from tests.builders import ct_series, radiograph
from tests.builders.network import peer
from tests.engines.builders import manifest, network, write_package
from tests.work.by_hand import CT_RULE

PATIENT = "Builder^Patient"


@dataclass(frozen=True)
class Quoting(Result):
    """A result whose encoder breaks and quotes the patient."""

    name: str


@write.register
def _(result: Quoting, case):
    raise RuntimeError(f"no room for {result.name}")


@dataclass(frozen=True)
class Homeless(Result):
    """A result that has no encoder."""


def planned(node, images):
    uid = node.complete(images)
    node.steps.plan(uid, 1)
    return uid


def keep_product(node, uid, result):
    """Put a result where the infer step would."""
    provenance = Provenance("tiny-segment", "1.0.0", "a" * 64, "onnx", "cpu", 0.1)
    path = f"{result_folder(uid, 1, 0)}/result.npz"
    node.files.write(path, [dump_product(result, provenance)])


def test_a_run_that_fails_for_good_does_not_stop_the_next_one(open_node):
    study = {"slices": 6, "StudyInstanceUID": "1.2.3"}
    gap = ct_series(seed="gap", SeriesInstanceUID="1.2.3.1", **study)
    del gap[3]
    whole = ct_series(seed="whole", SeriesInstanceUID="1.2.3.2", **study)
    with peer() as pacs:
        node = open_node(port=pacs.port)
        uid = node.complete([*gap, *whole])

        assert node.make(uid) == ["pacs"]
        node.deliver()

        [segmentation] = [ds for ds in pacs.stored if ds.Modality == "SEG"]
    [source] = segmentation.ReferencedSeriesSequence
    assert source.SeriesInstanceUID == "1.2.3.2"
    row = node.revision(uid)
    assert row.state is StudyState.FAILED
    assert "infer 0: tiny-segment@1.0.0: " in row.reason
    assert "gap of 5.00 mm" in row.reason
    assert node.index.study(uid).reason == row.reason


def test_a_study_none_of_whose_runs_succeeds_fails_without_a_delivery(node):
    images = ct_series(slices=6)
    del images[3]
    uid = node.complete(images)

    assert node.make(uid) == []
    assert node.revision(uid).state is StudyState.FAILED
    assert node.revision(uid).finished_at == node.clock.now


def test_a_study_that_no_rule_wants_ends_when_it_is_planned(node):
    uid = node.complete([radiograph()])

    assert node.steps.plan(uid, 1) == 0
    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
    assert "Modality" in node.revision(uid).reason


def test_an_encoder_that_breaks_is_named_without_what_it_says_of_the_patient(node):
    uid = planned(node, ct_series())
    keep_product(node, uid, Quoting(PATIENT))

    assert not node.steps.encode(uid, 1, 0)
    node.steps.hand_over(uid, 1)
    row = node.revision(uid)
    assert row.state is StudyState.FAILED
    assert row.reason == "encode 0: tiny-segment@1.0.0: internal error: RuntimeError"


def test_a_result_without_an_encoder_fails_its_run_by_name(node):
    uid = planned(node, ct_series())
    keep_product(node, uid, Homeless())

    assert not node.steps.encode(uid, 1, 0)
    [problem] = node.problems(uid)
    assert "unknown type" in problem
    assert "Homeless" in problem


def test_a_package_that_changed_under_its_version_is_not_run(node, open_node):
    uid = planned(node, ct_series())
    changed = manifest(
        metadata__name="tiny-segment",
        postprocess__measurements=["volume_ml"],
        output__dicom=["SEG"],
    )
    write_package(node.models / "tiny-segment", changed, network(kind="threshold"))

    later = open_node()

    assert not later.steps.infer(uid, 1, 0)
    [problem] = later.problems(uid)
    assert problem.startswith("tiny-segment 1.0.0 has changed since the plan was made: digest ")
    assert problem.endswith("give a changed package a new version")


def test_a_package_that_is_gone_fails_its_run_by_name(node, open_node):
    uid = planned(node, ct_series())
    (node.models / "tiny-segment" / "manifest.yaml").unlink()
    (node.models / "tiny-segment" / "model.onnx").unlink()

    later = open_node()

    assert not later.steps.infer(uid, 1, 0)
    [problem] = later.problems(uid)
    assert "no model package tiny-segment@1.0.0" in problem


def test_a_step_that_succeeds_at_last_forgets_why_it_failed(open_node):
    node = open_node()
    uid = planned(node, ct_series())
    keep_product(node, uid, Homeless())
    node.steps.encode(uid, 1, 0)

    assert node.steps.infer(uid, 1, 0)
    assert node.steps.encode(uid, 1, 0)
    assert node.problems(uid) == []


class FullDisk(Files):
    def write(self, relative, chunks):
        if relative.startswith("results/"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(relative, chunks)


class LostDatabase(Ledger):
    def record_artifacts(self, *_arguments):
        raise OperationalError("INSERT", {}, Exception("connection lost"))


class Interrupted(Ledger):
    def record_artifacts(self, *_arguments):
        raise TransientError("not now")


def test_a_full_disk_reaches_the_caller_which_tries_again(open_node):
    node = open_node(files=FullDisk)
    uid = planned(node, ct_series())

    with pytest.raises(OSError, match="No space left"):
        node.steps.infer(uid, 1, 0)
    assert node.problems(uid) == ["waits: No space left on device"]


@pytest.mark.parametrize(
    ("ledger", "error", "shown"),
    [
        (LostDatabase, OperationalError, "waits: the database does not answer"),
        (Interrupted, TransientError, "waits: not now"),
    ],
)
def test_what_may_pass_reaches_the_caller_which_tries_again(open_node, ledger, error, shown):
    node = open_node(ledger=ledger)
    uid = planned(node, ct_series())
    node.steps.infer(uid, 1, 0)

    with pytest.raises(error):
        node.steps.encode(uid, 1, 0)
    assert node.problems(uid) == [shown]

    later = open_node()
    assert later.steps.encode(uid, 1, 0)
    assert later.problems(uid) == []


def test_a_version_that_comes_after_the_plan_is_read_by_the_next_revision_only(node, open_node):
    images = ct_series(slices=4)
    uid = planned(node, images)
    again = ct_series(slices=4, RescaleIntercept="-900")
    again[1].PixelData = again[1].PixelData[::-1]
    node.clock.advance(seconds=5)
    node.receive([again[1]])

    node.make(uid)
    untouched = node.objects(uid)
    node.clock.advance(minutes=5)
    assert node.complete([again[1]]) == uid
    node.make(uid, 2)

    first, second = node.plan(uid, 1).runs[0], node.plan(uid, 2).runs[0]
    assert first.sop_instance_uids == second.sop_instance_uids
    changed = [a != b for a, b in zip(first.instance_digests, second.instance_digests, strict=True)]
    assert changed.count(True) == 1
    assert node.objects(uid) == untouched
    old, new = node.datasets(uid, 1), node.datasets(uid, 2)
    assert set(old) == set(new) == {"SEG", "SR", "OT"}
    assert not {ds.SOPInstanceUID for ds in old.values()} & {
        ds.SOPInstanceUID for ds in new.values()
    }


def test_a_revision_with_the_same_inputs_makes_nothing_and_says_so(node):
    uid = node.complete(ct_series())
    node.make(uid)
    node.clock.advance(minutes=5)
    late = ct_series(slices=1, seed="late", StudyInstanceUID=uid)

    assert node.complete(late) == uid
    assert node.make(uid, 2) == []

    assert node.revision(uid, 2).state is StudyState.DONE
    assert "nothing new since revision 1" in node.revision(uid, 2).reason


def test_two_rules_with_two_destinations_make_one_run_for_both(open_node):
    other = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 105}
    pacs = {**other, "ae_title": "MAINPACS"}
    node = open_node(
        destinations={"pacs": pacs, "archive": other},
        rules=[CT_RULE, {**CT_RULE, "name": "again", "send_to": ["archive"]}],
    )
    uid = node.complete(ct_series())

    assert node.make(uid) == ["archive", "pacs"]
    assert node.ledger.artifacts(uid, 1) == 3
    assert len(node.ledger.deliveries(uid, 1)) == 6


DX_RULE = {"name": "DX", "when": {"Modality": "DX"}, "send_to": ["pacs"]}


def gated_models(node):
    """Add a model for radiographs that the classifier keeps from bright ones."""
    content = manifest(
        ndim=2,
        metadata__name="gated",
        select={},
        gate={"package": "tiny-classify", "refuse": ["bright", "dark"]},
    )
    write_package(node.models / "gated", content, network(kind="threshold", ndim=2))


def test_a_run_that_its_gate_refuses_is_left_out_with_the_reason_and_is_no_failure(open_node):
    gated_models(open_node())
    with peer() as pacs:
        rule = {**DX_RULE, "run": ["tiny-classify", "gated"]}
        node = open_node(port=pacs.port, rules=[rule])
        uid = node.complete([radiograph()])

        assert node.make(uid) == ["pacs"]
        node.deliver()

        assert sorted(ds.Modality for ds in pacs.stored) == ["OT", "SR"]
    row = node.revision(uid)
    assert row.state is StudyState.DONE
    assert row.reason.startswith("left out 1: gated@1.0.0: tiny-classify 1.0.0 says ")


def test_a_study_of_which_a_gate_refuses_everything_is_not_eligible(open_node):
    gated_models(open_node())
    node = open_node(rules=[{**DX_RULE, "run": ["gated"]}])
    uid = node.complete([radiograph()])

    assert node.make(uid) == []
    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
    assert "which gated does not read" in node.revision(uid).reason
