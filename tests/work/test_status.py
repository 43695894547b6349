"""Each study has one status object wherever results go, whatever became of it."""

from __future__ import annotations

from pydicom import dcmread

from node.domain import DeliveryState, ObjectForm, ResultKind, StudyState
from tests.builders import ct_series, radiograph
from tests.builders.network import peer
from tests.encode.test_status import words

STATUS = {"results": {"study_status": "all"}}
TO_RULES = {"results": {"study_status": "rules"}}
ANNOUNCED = {"results": {"study_status": "all", "announce_studies": True}}


def status_files(node, uid, revision=1):
    rows = node.ledger.deliveries(uid, revision)
    return [node.files.path(row.path) for row in rows if row.kind is ResultKind.STATUS]


def summary(dataset):
    [whole] = [
        item.ConceptCodeSequence[0].CodeMeaning
        for item in dataset.ContentSequence
        if item.ValueType == "CODE"
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Summary of Analyses"
    ]
    return whole


def test_a_study_with_results_is_done_when_its_status_has_arrived_too(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port, **STATUS)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()

        [status] = [ds for ds in pacs.stored if "study status" in ds.SeriesDescription]
        others = {ds.SOPInstanceUID for ds in pacs.stored} - {status.SOPInstanceUID}
    assert node.revision(uid).state is StudyState.DONE
    assert summary(status) == "Succeeded"
    [run] = [item for item in status.ContentSequence if item.ValueType == "CONTAINER"]
    named = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in run.ContentSequence
        if item.ValueType == "COMPOSITE"
    }
    assert named == others


def test_a_study_that_no_rule_wants_says_so_in_the_pacs(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port, **STATUS)
        uid = node.complete([radiograph()])
        assert node.make(uid) == ["pacs"]
        node.deliver()

        [status] = pacs.stored
    row = node.revision(uid)
    assert row.state is StudyState.NOT_ELIGIBLE
    assert summary(status) == "Not Attempted"
    assert row.reason in words(status)


def test_a_run_that_failed_says_why_in_the_pacs(open_node):
    images = ct_series(slices=6)
    del images[3]
    node = open_node(**STATUS)
    uid = node.complete(images)
    node.make(uid)

    [path] = status_files(node, uid)
    status = dcmread(path)
    assert summary(status) == "Failed"
    assert any("gap of 5.00 mm" in sentence for sentence in words(status))


def test_a_study_that_was_given_up_says_why(open_node):
    node = open_node(**STATUS)
    uid = node.complete(ct_series())
    node.steps.give_up(uid, 1, "internal error: KeyError")

    [path] = status_files(node, uid)
    assert "internal error: KeyError" in words(dcmread(path))


def test_nobody_is_told_of_studies_where_the_site_does_not_want_it(open_node):
    node = open_node(results={"study_status": "none"})
    uid = node.complete([radiograph()])
    assert node.make(uid) == []


def test_only_destinations_of_rules_that_read_something_are_told_where_the_site_says_so(open_node):
    node = open_node(**TO_RULES)
    nobody = node.complete([radiograph()])
    somebody = node.complete(ct_series())

    assert node.make(nobody) == []
    node.make(somebody)
    assert len(status_files(node, somebody)) == 1


def test_a_destination_that_shows_pictures_only_gets_a_page(open_node):
    node = open_node(pacs={"profile": "plain"}, **STATUS)
    uid = node.complete([radiograph()])
    node.make(uid)

    [path] = status_files(node, uid)
    page = dcmread(path)
    assert page.SOPClassUID == ObjectForm.STATUS_SC.sop_class_uid
    assert page.SeriesDescription == "AI study status UNVERIFIED"


def test_a_destination_that_takes_no_such_report_gets_a_page_instead(open_node):
    with peer(sop_classes=[ObjectForm.STATUS_SC.sop_class_uid]) as pacs:
        node = open_node(port=pacs.port, **STATUS)
        uid = node.complete([radiograph()])
        node.make(uid)
        node.deliver()
        node.deliver()

        [page] = pacs.stored
    assert page.Modality == "OT"
    rows = {row.sop_class_uid: row for row in node.ledger.deliveries(uid, 1)}
    assert rows[ObjectForm.STATUS.sop_class_uid].state is DeliveryState.REPLACED
    assert "instead of STATUS" in rows[ObjectForm.STATUS_SC.sop_class_uid].remark
    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE


def test_what_a_destination_has_refused_once_is_not_tried_with_the_next_study(open_node):
    with peer(sop_classes=[ObjectForm.STATUS_SC.sop_class_uid]) as pacs:
        node = open_node(port=pacs.port, **STATUS)
        first = node.complete([radiograph()])
        node.make(first)
        node.deliver()
        second = node.complete([radiograph(seed="second")])
        node.make(second)

        [row] = node.ledger.deliveries(second, 1)
    assert row.sop_class_uid == ObjectForm.STATUS_SC.sop_class_uid


def test_an_announced_study_has_a_first_object_with_everything_pending(open_node):
    node = open_node(**ANNOUNCED)
    uid = node.complete(ct_series())
    node.steps.plan(uid, 1)
    [path] = status_files(node, uid)
    announced = dcmread(path)
    assert announced.CompletionFlag == "PARTIAL"

    node.make(uid)
    found = {ds.CompletionFlag: ds for ds in map(dcmread, status_files(node, uid))}
    assert sorted(found) == ["COMPLETE", "PARTIAL"]
    final = found["COMPLETE"]
    [document] = final.PredecessorDocumentsSequence
    [series] = document.ReferencedSeriesSequence
    [before] = series.ReferencedSOPSequence
    assert before.ReferencedSOPInstanceUID == announced.SOPInstanceUID


def test_a_later_revision_follows_the_earlier_one_and_names_the_results_that_hold(open_node):
    node = open_node(**STATUS)
    uid = node.complete(ct_series())
    node.make(uid)
    assert node.index.study(uid).revision == 1
    node.complete([radiograph(StudyInstanceUID=uid)])
    node.make(uid, 2)

    [path] = status_files(node, uid, 2)
    status = dcmread(path)
    assert "succeeded: the results of revision 1 hold" in " ".join(words(status))
    assert len(status.PredecessorDocumentsSequence) == 1


def test_written_again_it_is_the_same_object(open_node):
    node = open_node(**STATUS)
    uid = node.complete(ct_series())
    node.make(uid)
    [path] = status_files(node, uid)
    first = path.read_bytes()
    node.clock.advance(hours=1)
    node.steps.hand_over(uid, 1)

    assert status_files(node, uid) == [path]
    assert path.read_bytes() == first


def test_sending_the_status_of_an_ended_study_again_does_not_open_it(open_node):
    with peer() as pacs:
        node = open_node(port=pacs.port, **STATUS)
        uid = node.complete([radiograph()])
        node.make(uid)
        node.deliver()
        ended = node.revision(uid)
        sent = node.ledger.outbox.resend(uid, None, failed_only=False, now=node.clock())
        assert sent == 1
        node.deliver()

        assert len(pacs.stored) == 2
    assert node.revision(uid) == ended


def test_a_status_that_does_not_arrive_is_part_of_why_a_study_failed(open_node):
    with peer(answer=lambda ds: 0xC000 if "status" in ds.SeriesDescription else 0) as pacs:
        node = open_node(port=pacs.port, **STATUS)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()
    rows = node.ledger.deliveries(uid, 1, state=DeliveryState.FAILED)
    assert ResultKind.STATUS in {row.kind for row in rows}
    assert "STATUS of study status" in node.revision(uid).reason


def test_a_study_none_of_whose_files_can_be_read_says_that_it_has_no_status(open_node):
    node = open_node(**STATUS)
    uid = node.complete([radiograph()])
    for one in node.index.study_instances(uid):
        node.files.instance(one.digest).write_bytes(b"no DICOM")
    node.make(uid)

    [problem] = node.problems(uid)
    assert "cannot be read as a DICOM file" in problem
    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
