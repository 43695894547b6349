"""Each destination gets what its viewers show, and what it does not take is replaced."""

from __future__ import annotations

import typing

import pytest
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from node.config.profile import BUILT_IN, FormName, Profile
from node.deliver import scu
from node.domain import DeliveryState, ObjectForm, ResultKind, StudyState
from node.work.forms import choose, following
from tests.builders import ct_series, write
from tests.builders.network import peer
from tests.deliver.peers import destination
from tests.work.by_hand import ByHand

pytestmark = pytest.mark.loopback

SEG, SR, SC = ResultKind.SEG, ResultKind.SR, ResultKind.SC
WAITING, DELIVERED, REPLACED = (
    DeliveryState.WAITING,
    DeliveryState.DELIVERED,
    DeliveryState.REPLACED,
)
REFUSED = {SegmentationStorage: "not taken"}
OURS = Profile(seg=("SEG_LABELMAP", "SEG_BINARY", "SC"), sr=("SR_3D", "SR_2D"), sc=("SC",))


def forms(choices):
    return [(c.form.value, c.instead_of.value) for c in choices]


def test_a_profile_can_name_every_form_there_is():
    assert set(typing.get_args(FormName)) == set(ObjectForm)
    assert {kind.value.lower() for kind in ResultKind} <= set(Profile.model_fields)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_chain_of_a_built_in_profile_begins_with_its_kind_and_repeats_nothing(name):
    for kind in ResultKind:
        chain = BUILT_IN[name].chain(kind)
        assert len(chain) == len(set(chain))
        if name != "orthanc-webviewer" and chain:
            assert chain[0].kind is kind


def test_of_projections_a_viewer_gets_no_segmentation_that_it_fails_on():
    ohif = BUILT_IN["ohif"].for_projections()
    chosen = choose(ohif, [SEG, SC], [ObjectForm.SEG_BINARY, ObjectForm.SC], {})

    assert forms(chosen) == [("SC", "SC")]
    assert OURS.for_projections() == OURS


def test_the_first_form_that_is_possible_is_chosen():
    possible = [ObjectForm.SEG_BINARY, ObjectForm.SR_2D, ObjectForm.SC]

    assert forms(choose(OURS, [SEG, SR, SC], possible, {})) == [
        ("SEG_BINARY", "SEG_BINARY"),
        ("SR_2D", "SR_2D"),
        ("SC", "SC"),
    ]


def test_what_is_known_to_be_refused_is_replaced_at_once_and_says_why():
    chosen = choose(OURS, [SEG, SR], [ObjectForm.SEG_BINARY, ObjectForm.SC], REFUSED)

    assert forms(chosen) == [("SC", "SEG_BINARY")]
    assert chosen[0].remark == "instead of SEG_BINARY: not taken"


def test_what_the_destination_gets_anyway_comes_once():
    chosen = choose(OURS, [SEG, SC], [ObjectForm.SEG_BINARY, ObjectForm.SC], REFUSED)

    assert [c.form for c in chosen] == [ObjectForm.SC]


def test_what_is_refused_in_every_form_is_sent_so_that_the_ledger_says_so():
    profile = Profile(seg=("SEG_BINARY",))

    assert forms(choose(profile, [SEG], [ObjectForm.SEG_BINARY], REFUSED)) == [
        ("SEG_BINARY", "SEG_BINARY")
    ]


def test_a_form_is_followed_by_what_comes_after_it_in_its_chain():
    possible = [ObjectForm.SEG_BINARY, ObjectForm.SC]

    assert following(OURS, ObjectForm.SEG_LABELMAP, [SEG], possible) == [
        ObjectForm.SEG_BINARY,
        ObjectForm.SC,
    ]
    assert following(OURS, ObjectForm.SC, [SC], possible) == []
    assert following(OURS, ObjectForm.PDF, [SEG], possible) == []


@pytest.fixture
def open_node(tmp_path):
    opened = []

    def start(**options):
        opened.append(ByHand(tmp_path, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def kinds(pacs):
    return sorted(ds.Modality for ds in pacs.stored)


def of(node, uid, destination="pacs"):
    """Form, state and remark of what went to a destination, without the study status."""
    return sorted(
        (row.kind.value, row.state, row.remark)
        for row in node.ledger.deliveries(uid, 1, destination=destination)
        if row.kind is not ResultKind.STATUS
    )


NO_SEG = [SecondaryCaptureImageStorage, Comprehensive3DSRStorage]


def test_a_segmentation_that_is_not_taken_is_replaced_by_a_picture_and_recorded(open_node):
    profiles = {"ours": {"seg": ["SEG_BINARY", "SC"], "sr": ["SR_3D"]}}
    with peer(sop_classes=NO_SEG) as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "ours"}, profiles=profiles)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()

        assert kinds(pacs) == ["OT", "SR"]
        assert len({ds.SOPInstanceUID for ds in pacs.stored}) == 2
    why = "the destination does not accept SOP class Segmentation Storage"
    rows = {row.kind.value: row for row in node.ledger.deliveries(uid, 1) if row.state != REPLACED}
    (gone,) = [row for row in node.ledger.deliveries(uid, 1) if row.kind is SEG]
    assert gone.state is REPLACED
    assert gone.replaced_by == rows["SC"].sop_instance_uid
    assert gone.sop_instance_uid not in str(pacs.stored)
    assert why in gone.reason
    assert rows["SC"].remark.startswith(f"instead of SEG_BINARY: {why}")
    assert rows["SC"].state is DELIVERED
    assert node.revision(uid).state is StudyState.DONE


def test_a_label_map_that_is_not_taken_arrives_as_binary_segments(open_node):
    profiles = {"ours": {"seg": ["SEG_LABELMAP", "SEG_BINARY"], "transfer_syntax": "rle"}}
    with peer(sop_classes=[SegmentationStorage]) as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "ours"}, profiles=profiles)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()

        (segmentation,) = pacs.stored
    assert segmentation.SegmentationType == "BINARY"
    states = {row.sop_class_uid: row.state for row in node.ledger.deliveries(uid, 1)}
    assert states == {
        ObjectForm.SEG_LABELMAP.sop_class_uid: REPLACED,
        SegmentationStorage: DELIVERED,
    }
    assert node.revision(uid).state is StudyState.DONE


def test_the_next_study_is_written_in_the_form_that_is_taken(open_node):
    with peer(sop_classes=NO_SEG) as pacs:
        node = open_node(port=pacs.port)
        first = node.complete(ct_series())
        node.make(first)
        node.deliver()

        second = node.complete(ct_series(seed="second"))
        node.make(second)
        node.deliver()

        assert [kind for kind, _, _ in of(node, second)] == ["SC", "SR"]
        assert len(pacs.of(second)) == 2
        # A day later it is tried again.
        node.clock.advance(hours=25)
        third = node.complete(ct_series(seed="third"))
        node.make(third)

        assert [kind for kind, _, _ in of(node, third)] == ["SC", "SEG", "SR"]


def test_a_process_that_dies_before_the_replacement_is_recorded_makes_the_same_one(open_node):
    with peer(sop_classes=NO_SEG) as pacs:
        node = open_node(port=pacs.port)
        uid = node.complete(ct_series())
        node.make(uid)
        record = node.ledger.replacements.record

        def die(*_arguments):
            raise KeyboardInterrupt

        node.ledger.replacements.record = die
        with pytest.raises(KeyboardInterrupt):
            node.deliver()
        node.ledger.replacements.record = record
        again = open_node(port=pacs.port)
        again.deliver()
        again.deliver()

        assert kinds(pacs) == ["OT", "SR"]
    states = sorted((kind, state) for kind, state, _ in of(again, uid))
    assert [one for one in states if one[1] is DELIVERED] == [("SC", DELIVERED), ("SR", DELIVERED)]
    assert {one for one in states if one[1] is not DELIVERED} == {
        ("SEG", REPLACED),
        ("SR", REPLACED),
    }


def test_what_nothing_replaces_fails_by_name(open_node):
    profiles = {"ours": {"seg": ["SEG_BINARY"], "sc": ["SC"]}}
    with peer(sop_classes=NO_SEG) as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "ours"}, profiles=profiles)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()

        assert kinds(pacs) == ["OT"]
    assert node.revision(uid).state is StudyState.FAILED
    assert "does not accept SOP class Segmentation" in node.revision(uid).reason


def test_an_object_that_is_refused_by_its_status_is_replaced_too(open_node):
    profiles = {"ours": {"seg": ["SEG_BINARY", "SC"]}}
    with peer(answer=lambda ds: 0x0122 if ds.Modality == "SEG" else 0x0000) as pacs:
        node = open_node(port=pacs.port, pacs={"profile": "ours"}, profiles=profiles)
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver()

        assert kinds(pacs) == ["OT"]
    assert [state for _, state, _ in of(node, uid)] == [DELIVERED, REPLACED]


def test_two_destinations_get_their_own_forms_from_one_inference(open_node):
    rule = {
        "name": "CT",
        "when": {"Modality": "CT"},
        "run": ["tiny-segment"],
        "send_to": ["pacs", "viewer"],
    }
    with peer() as pacs, peer(ae_title="VIEWER") as viewer:
        node = open_node(
            destinations={
                "pacs": {"ae_title": "MAINPACS", "host": "127.0.0.1", "port": pacs.port},
                "viewer": {
                    "ae_title": "VIEWER",
                    "host": "127.0.0.1",
                    "port": viewer.port,
                    "profile": "plain",
                },
            },
            rules=[rule],
            results={"study_status": "none"},
        )
        uid = node.complete(ct_series())
        node.make(uid)
        node.deliver("pacs")
        node.deliver("viewer")

        assert kinds(pacs) == ["OT", "SEG", "SR"]
        assert kinds(viewer) == ["OT"]
        picture = [ds for ds in pacs.stored if ds.Modality == "OT"]
        assert picture == viewer.stored
    assert len([row for row in node.ledger.steps(uid, 1) if row.step == "infer"]) == 1


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_compressed_pixels_are_decoded_for_a_destination_that_takes_none(syntax, tmp_path):
    (ds,) = ct_series(slices=1, rows=64, columns=64)
    plain = ds.pixel_array.copy()
    ds.compress(syntax, generate_instance_uid=False)
    (path,) = write([ds], tmp_path)
    found = {}
    with peer(transfer_syntaxes=["1.2.840.10008.1.2.1"]) as pacs:
        to = destination(pacs.port)
        scu.send([path], to, "WETREAD", lambda p, outcome: found.__setitem__(p, outcome))

        assert found[path].state is DELIVERED
        assert (pacs.stored[0].pixel_array == plain).all()
        assert pacs.stored[0].SOPInstanceUID == ds.SOPInstanceUID
    assert dcmread(path).file_meta.TransferSyntaxUID == syntax
