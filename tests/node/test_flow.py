"""The main job over real sockets: a study in, results out, and nothing twice."""

from __future__ import annotations

import pytest

from node.domain import DeliveryState, StudyState
from tests.builders import ct_series, radiograph
from tests.builders.network import Peer, peer, store_all, wait_until
from tests.encode.test_status import words
from tests.node.running import RunningNode

pytestmark = pytest.mark.loopback


def test_a_ct_comes_back_as_segmentation_report_and_picture(node, pacs):
    study = ct_series(slices=6, seed="main job")
    uid = study[0].StudyInstanceUID

    assert store_all(node.port, study) == [0x0000] * 6

    assert node.settled(uid) is StudyState.DONE
    assert sorted(ds.Modality for ds in pacs.of(uid)) == ["OT", "SEG", "SR"]
    for ds in pacs.of(uid):
        assert ds.PatientID == study[0].PatientID
        assert ds.SeriesDescription.startswith("AI ")


def test_a_radiograph_comes_back_classified(node, pacs):
    image = radiograph(seed="classified")

    store_all(node.port, [image])

    assert node.settled(image.StudyInstanceUID) is StudyState.DONE
    assert sorted(ds.Modality for ds in pacs.of(image.StudyInstanceUID)) == ["OT", "SR"]


def test_a_study_that_no_rule_wants_ends_as_not_eligible_with_the_reason(node, pacs):
    study = ct_series(slices=2, seed="too few")
    uid = study[0].StudyInstanceUID

    store_all(node.port, study)

    assert node.settled(uid) is StudyState.NOT_ELIGIBLE
    assert "slices" in node.stores.index.study(uid).reason
    assert pacs.of(uid) == []


def test_the_pacs_is_told_of_a_study_that_nobody_wants(tmp_path, pacs):
    study = ct_series(slices=2, seed="told")
    uid = study[0].StudyInstanceUID
    node = RunningNode(tmp_path / "told", pacs.port, results={"study_status": "all"})
    node.start()
    try:
        store_all(node.port, study)
        assert node.settled(uid) is StudyState.NOT_ELIGIBLE
        wait_until(lambda: pacs.of(uid), within_s=30, what="the study's status")
    finally:
        node.stop()

    [status] = pacs.of(uid)
    assert status.Modality == "SR"
    assert set(node.stores.index.revision(uid, 1).plan.not_run) <= set(words(status))


def test_results_that_come_back_are_not_processed_again(node, pacs):
    study = ct_series(slices=6, seed="loop")
    uid = study[0].StudyInstanceUID
    store_all(node.port, study)
    node.settled(uid)
    results = pacs.of(uid)

    assert store_all(node.port, [*study, *results], calling="MAINPACS") == [0x0000] * 9

    wait_until(
        lambda: node.stores.index.returned_count(uid) == 3, within_s=30, what="the index has them"
    )
    assert node.stores.index.study(uid).state is StudyState.DONE
    assert [r.revision for r in node.stores.index.revisions(uid)] == [1]
    assert len(pacs.of(uid)) == 3


def test_a_late_slice_makes_a_second_revision_with_results_of_its_own(node, pacs):
    study = ct_series(slices=6, seed="late slice")
    uid = study[0].StudyInstanceUID
    store_all(node.port, study[:5])
    node.settled(uid)
    store_all(node.port, study[5:])

    assert node.settled(uid, revision=2) is StudyState.DONE
    assert len({ds.SOPInstanceUID for ds in pacs.of(uid)}) == 6


def test_a_late_object_that_changes_no_input_makes_no_second_result(node, pacs):
    study = ct_series(slices=6, seed="late object")
    uid = study[0].StudyInstanceUID
    store_all(node.port, study)
    node.settled(uid)
    late = radiograph(StudyInstanceUID=uid, Modality="OT", seed="late object")
    store_all(node.port, [late])

    assert node.settled(uid, revision=2) is StudyState.DONE
    assert "nothing new since revision 1" in node.stores.index.revision(uid, 2).reason
    assert len(pacs.of(uid)) == 3


def test_a_series_that_is_no_volume_fails_with_what_was_found_and_others_go_on(node, pacs):
    broken = ct_series(slices=6, seed="broken")
    del broken[3]
    whole = ct_series(slices=6, seed="whole")
    store_all(node.port, [*broken, *whole])

    assert node.settled(broken[0].StudyInstanceUID) is StudyState.FAILED
    assert node.settled(whole[0].StudyInstanceUID) is StudyState.DONE
    assert "gap" in node.stores.index.study(broken[0].StudyInstanceUID).reason
    assert pacs.of(broken[0].StudyInstanceUID) == []
    assert len(pacs.of(whole[0].StudyInstanceUID)) == 3


def test_no_patient_data_is_ever_logged(node):
    study = ct_series(slices=6, seed="private")
    store_all(node.port, study)
    node.settled(study[0].StudyInstanceUID)

    log = node.log_file.read_text()

    assert study[0].StudyInstanceUID in log
    for value in (study[0].PatientName, study[0].PatientID, study[0].PatientBirthDate):
        assert str(value) not in log


def test_a_pacs_that_is_down_or_refuses_gets_what_it_can_take_when_it_is_back(tmp_path):
    with peer() as reserved:
        port = reserved.port
    node = RunningNode(tmp_path, port)
    study = ct_series(slices=6, seed="down")
    uid = study[0].StudyInstanceUID
    back: Peer | None = None
    try:
        node.start()
        store_all(node.port, study)
        wait_until(
            lambda: node.stores.ledger.outbox.row("pacs").failures > 1,
            within_s=60,
            what="a second try",
        )
        assert node.stores.index.study(uid).state is StudyState.DELIVERING

        back = Peer(port=port, answer=lambda ds: 0xA900 if ds.Modality == "SEG" else 0x0000)
        assert node.settled(uid) is StudyState.FAILED
    finally:
        node.stop()
        if back is not None:
            back.stop()

    assert "SEG of tiny-segment@1.0.0 to pacs: refused with 0xA900" in (
        node.stores.index.study(uid).reason
    )
    states = {str(row.kind): row.state for row in node.stores.ledger.deliveries(uid, 1)}
    assert states == {
        "SEG": DeliveryState.FAILED,
        "SR": DeliveryState.DELIVERED,
        "SC": DeliveryState.DELIVERED,
    }
