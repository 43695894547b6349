"""Images that come after their study was complete: read again, or marked as late."""

from __future__ import annotations

import pytest

from node.domain import Standing, StudyState
from node.store.database import database_url, open_database
from node.store.quarantine import Quarantine
from tests.builders import ct_series
from tests.work.by_hand import CT_RULE

MARK = {"rules": [{**CT_RULE, "late_images": "mark"}]}
STAT = {"rules": [{**CT_RULE, "priority": "stat"}]}
LATE = (
    "late: 1 image came after revision {} was complete; "
    "rule CT keeps its results (late_images: mark)"
)


@pytest.fixture
def images():
    """Five slices, the last of which comes late."""
    return ct_series(slices=5, seed="late")


def closed(node, images):
    """Receive images, and close their study's revision a little later; return its UID."""
    node.receive(images)
    node.clock.advance(minutes=1)
    return node.complete(images)


def first_revision(node, images):
    """Make the first revision of all slices but the last; return the study's UID."""
    uid = closed(node, images[:4])
    node.make(uid)
    node.clock.advance(hours=1)
    return uid


def next_revision(node, uid, images=()):
    """Receive some more, and close and plan the next revision; return how it stands."""
    node.receive(images)
    node.clock.advance(hours=1)
    study = node.index.study(uid)
    revision = node.index.complete_study(study, node.clock(), "quiet")
    runs = node.steps.plan(uid, revision)
    return runs, node.revision(uid, revision)


def test_a_late_image_is_read_as_a_new_revision(node, images):
    uid = first_revision(node, images)

    runs, revision = next_revision(node, uid, images[4:])

    assert runs == 1
    assert len(revision.plan.runs[0].sop_instance_uids) == 5


def test_the_report_of_a_new_revision_names_the_one_it_supersedes(node, images):
    uid = first_revision(node, images)
    _, revision = next_revision(node, uid, images[4:])
    node.make(uid, revision.revision)

    first = node.datasets(uid)["SR"]
    second = node.datasets(uid, revision.revision)["SR"]
    (study,) = second.PredecessorDocumentsSequence
    (reference,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in first
    assert second.SOPInstanceUID != first.SOPInstanceUID


def test_a_study_whose_rule_marks_late_images_ends_as_late(open_node, images):
    node = open_node(**MARK)
    uid = first_revision(node, images)

    runs, revision = next_revision(node, uid, images[4:])

    assert runs == 0
    assert (revision.state, revision.reason) == (StudyState.LATE, LATE.format(1))
    assert revision.finished_at == node.clock()
    assert node.index.study(uid).state is StudyState.LATE
    assert node.objects(uid) != {}


def test_images_that_come_later_still_are_late_too(open_node, images):
    node = open_node(**MARK)
    uid = first_revision(node, images)
    next_revision(node, uid, images[4:])
    other = ct_series(slices=1, seed="later still", StudyInstanceUID=uid)

    _, revision = next_revision(node, uid, other)

    assert LATE.format(2) in revision.reason
    assert revision.state is StudyState.LATE


def test_an_administrator_can_have_late_images_read(open_node, images):
    node = open_node(**MARK)
    uid = first_revision(node, images)
    next_revision(node, uid, images[4:])

    assert node.index.reopen(uid)
    runs, revision = next_revision(node, uid)

    assert runs == 1
    assert len(revision.plan.runs[0].sop_instance_uids) == 5


def test_a_first_revision_that_made_no_result_has_nothing_to_keep(open_node, images):
    node = open_node(**MARK)
    gap = [*images[:2], images[3]]
    uid = closed(node, gap)
    node.make(uid)
    assert node.revision(uid).state is StudyState.FAILED
    node.clock.advance(hours=1)

    runs, revision = next_revision(node, uid, [images[2]])

    assert runs == 1
    assert len(revision.plan.runs[0].sop_instance_uids) == 4


def test_a_first_revision_that_is_still_being_made_counts_as_results(open_node, images):
    node = open_node(**MARK)
    uid = closed(node, images[:4])
    node.steps.plan(uid, 1)
    node.clock.advance(hours=1)

    runs, _ = next_revision(node, uid, images[4:])

    assert runs == 0


def test_a_plan_that_is_made_again_after_a_kill_ends_the_study_as_late_again(open_node, images):
    node = open_node(**MARK)
    uid = first_revision(node, images)
    next_revision(node, uid, images[4:])
    node.index.set_state(uid, 2, StudyState.QUEUED, "")

    assert open_node(**MARK).steps.plan(uid, 2) == 0

    assert node.revision(uid, 2).state is StudyState.LATE


def test_an_instance_in_quarantine_is_no_input_until_it_is_released(node, images):
    uid = closed(node, images)
    other = ct_series(slices=6, seed="late")[5:]
    other[0].PatientID = "another"
    other[0].StudyInstanceUID = uid
    other[0].SeriesInstanceUID = images[0].SeriesInstanceUID
    node.receive(other)
    node.make(uid)

    kept = node.index.study_instances(uid)
    assert [one.standing for one in kept].count(Standing.QUARANTINED) == 1
    plan = node.plan(uid)
    assert len(plan.runs[0].sop_instance_uids) == 5
    assert any("1 instance is quarantined" in sentence for sentence in plan.not_run)

    engine = open_database(database_url("sqlite", node.config.data_dir))
    assert Quarantine(engine).release(uid, now=node.clock()) == 1
    engine.dispose()
    _, revision = next_revision(node, uid)
    assert len(revision.plan.runs[0].sop_instance_uids) == 6
    assert not any("quarantined" in sentence for sentence in revision.plan.not_run)


def test_the_results_of_a_stat_rule_go_first(open_node, images):
    node = open_node(**STAT)
    uid = closed(node, images)

    node.steps.plan(uid, 1)

    assert [run.priority for run in node.plan(uid).runs] == [1]
