"""A marked voxel comes back in the segmentation at its own place in the patient, or not at all."""

from __future__ import annotations

from io import BytesIO

import highdicom
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.domain import StudyState
from tests.builders import ct_series, enhanced_ct
from tests.builders.marked import MARK, place_of
from tests.builders.volumes import leaning, several, uneven, with_phases

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
AIR = 24
"""Stored value of -1000 HU, below the threshold of the test's model."""


def marked(images):
    """Leave of every slice one bright pixel in air, each at another place; return their places."""
    places = []
    for number, image in enumerate(images):
        row, column = (3 * number) % 13 + 1, (5 * number) % 9 + 1
        pixels = np.full((image.Rows, image.Columns), AIR, "<u2")
        pixels[row, column] = MARK
        image.PixelData = pixels.tobytes()
        places.append(place_of(image, row, column))
    return np.array(places)


def places_in(segmentation: bytes):
    """LPS mm of every voxel of a segmentation, frame by frame, as highdicom reads it."""
    ds = highdicom.seg.segread(BytesIO(segmentation))
    found = []
    for number in range(1, int(ds.NumberOfFrames) + 1):
        geometry = frame_of(ds, number)
        for row, column in np.argwhere(ds.get_stored_frame(number)):
            found.append(place_of(geometry, row, column))
    return np.array(found)


def frame_of(ds, number):
    """Position, orientation and spacing of one frame, as in a single-frame image."""
    frame = Dataset()
    groups = ds.PerFrameFunctionalGroupsSequence[number - 1], ds.SharedFunctionalGroupsSequence[0]
    for macro in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
        frame.update(next(group[macro].value[0] for group in groups if macro in group))
    return frame


def assert_same_places(found, expected):
    assert len(found) == len(expected)
    distances = np.linalg.norm(found[:, None] - expected[None], axis=-1)
    assert distances.min(axis=1).max() < 0.01
    assert distances.min(axis=0).max() < 0.01


STACKS = {
    "axial": lambda: ct_series(slices=8),
    "oblique": lambda: ct_series(slices=8, orientation=OBLIQUE),
    "flipped, from the head to the feet": lambda: ct_series(
        slices=8, orientation=(1, 0, 0, 0, -1, 0)
    ),
    "two slices": lambda: ct_series(slices=2),
    "gantry tilt": lambda: leaning(ct_series(slices=12), 20.0),
    "gantry tilt of an oblique stack": lambda: leaning(
        ct_series(slices=12, orientation=OBLIQUE), -15.0
    ),
    "thin slices, then thick ones": lambda: uneven(
        ct_series(slices=10), [0, 2.5, 5, 7.5, 10, 12.5, 17.5, 22.5, 27.5, 32.5]
    ),
    "gantry tilt and two spacings": lambda: leaning(
        uneven(ct_series(slices=9), [0, 5, 10, 15, 17.5, 20, 22.5, 25, 27.5]), 15.0
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_marked_voxels_come_back_at_their_places(open_node, name):
    node = open_node(rules=[ANY_CT])
    images = STACKS[name]()
    expected = marked(images)
    uid = node.complete(images[::-1])

    assert node.make(uid) == ["pacs"]

    assert_same_places(places_in(segmentation_of(node, uid)), expected)


ANY_CT = {"name": "CT", "when": {"Modality": "CT"}, "run": ["tiny-segment"], "send_to": ["pacs"]}


def segmentation_of(node, uid, run=0):
    objects = node.objects(uid, run=run)
    return next(content for name, content in objects.items() if "seg" in name)


def test_the_segmentation_of_a_tilted_stack_lies_on_the_source_slices(open_node):
    node = open_node(rules=[ANY_CT])
    images = leaning(ct_series(slices=12), 20.0)
    marked(images)
    uid = node.complete(images)
    node.make(uid)

    (segmentation,) = (ds for ds in node.datasets(uid).values() if ds.Modality == "SEG")

    referenced = {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    }
    assert referenced == {image.SOPInstanceUID for image in images}


def test_each_phase_of_a_series_is_a_run_with_objects_of_its_own(open_node):
    node = open_node(rules=[ANY_CT])
    images = several(
        {"AcquisitionNumber": "1", "slices": 5}, {"AcquisitionNumber": "2", "slices": 5}
    )
    expected = marked(images)
    uid = node.complete(images)

    assert node.make(uid) == ["pacs"]

    plan = node.plan(uid)
    assert [run.volume for run in plan.runs] == ["AcquisitionNumber 1", "AcquisitionNumber 2"]
    first, second = (node.datasets(uid, run=run)["SEG"] for run in (0, 1))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert "AcquisitionNumber 1" in first.SeriesDescription
    assert_same_places(places_in(segmentation_of(node, uid, 0)), expected[:5])
    assert_same_places(places_in(segmentation_of(node, uid, 1)), expected[5:])


def test_each_phase_of_a_multiframe_image_is_a_run_that_refers_to_its_own_frames(open_node):
    node = open_node(rules=[ANY_CT])
    image = with_phases(enhanced_ct(slices=12), 2)
    pixels = np.full((12, image.Rows, image.Columns), AIR, "<u2")
    pixels[np.arange(12), np.arange(12), np.arange(12) % 9] = MARK
    image.PixelData = pixels.tobytes()
    uid = node.complete([image])

    assert node.make(uid) == ["pacs"]

    for run, frames in enumerate([range(1, 13, 2), range(2, 13, 2)]):
        assert node.plan(uid).runs[run].frames == tuple(frames)
        segmentation = node.datasets(uid, run=run)["SEG"]
        referenced = {
            frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
            for frame in segmentation.PerFrameFunctionalGroupsSequence
        }
        assert referenced == set(frames)
        expected = [
            place_of(frame_of(image, number), number - 1, (number - 1) % 9) for number in frames
        ]
        assert_same_places(places_in(segmentation_of(node, uid, run)), np.array(expected))


def test_a_plan_made_twice_has_the_same_runs(open_node):
    node = open_node(rules=[ANY_CT])
    images = several({"EchoTime": "10"}, {"EchoTime": "20"})
    uid = node.complete(images)
    node.make(uid)
    keys = [run.key for run in node.plan(uid).runs]

    again = open_node(rules=[ANY_CT])
    again.steps.plan(uid, 1)

    assert [run.key for run in again.plan(uid).runs] == keys
    assert len(set(keys)) == 2


def test_a_localizer_in_the_series_is_left_out_and_said(open_node):
    node = open_node(rules=[ANY_CT])
    images = several({"slices": 6}, {"slices": 1, "orientation": (0, 1, 0, 0, 0, -1)})
    expected = marked(images)
    uid = node.complete(images)

    assert node.make(uid) == ["pacs"]

    assert_same_places(places_in(segmentation_of(node, uid)), expected[:6])
    assert any("found 1 slice; a volume needs at least 2" in one for one in node.plan(uid).not_run)


def test_the_rule_counts_the_slices_of_each_volume(open_node):
    rule = {**ANY_CT, "when": {"Modality": "CT", "slices": {"min": 6}}}
    node = open_node(rules=[rule])
    images = several({"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2"})
    uid = node.complete(images)

    assert node.make(uid) == []

    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
    assert "AcquisitionNumber 1" in node.revision(uid).reason


REFUSED = {
    "a slice is missing": (
        lambda: ct_series(slices=6)[:3] + ct_series(slices=6)[4:],
        r"1 slice missing, the first at -10.00\-20.00\37.50",
    ),
    "slices came twice": (
        lambda: several({}, {}),
        "8 slices are at 4 positions",
    ),
    "a single slice": (lambda: ct_series(slices=1), "found 1 slice; a volume needs at least 2"),
    "no positions": (
        lambda: ct_series(slices=4, ImagePositionPatient=None),
        "ImagePositionPatient is absent",
    ),
    "spacing that varies too much": (
        lambda: uneven(ct_series(slices=9), [0, 1, 2, 3, 4, 9, 14, 19, 24]),
        "gaps run from 1.000 to 5.000 mm",
    ),
    "frames without geometry": (
        lambda: [multiframe_without_geometry()],
        "PerFrameFunctionalGroupsSequence is absent",
    ),
}


def multiframe_without_geometry():
    image = enhanced_ct(slices=4)
    del image.PerFrameFunctionalGroupsSequence
    return image


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_volume_fails_the_study_with_the_reason(open_node, name):
    node = open_node(rules=[ANY_CT])
    build, reason = REFUSED[name]
    uid = node.complete(build())

    assert node.make(uid) == []

    assert node.revision(uid).state is StudyState.FAILED
    assert reason in node.revision(uid).reason


def test_a_colour_image_is_not_eligible_and_said(open_node):
    node = open_node(rules=[ANY_CT])
    images = ct_series(slices=4, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    uid = node.complete(images)

    assert node.make(uid) == []

    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
    assert "a colour image (PhotometricInterpretation RGB)" in node.revision(uid).reason


def test_a_cine_is_no_case_of_a_model_of_single_images(open_node):
    rule = {"name": "CR", "when": {}, "run": ["tiny-classify"], "send_to": ["pacs"]}
    node = open_node(rules=[rule])
    image = multiframe_without_geometry()
    image.Modality = "DX"
    uid = node.complete([image])

    assert node.make(uid) == []

    assert node.revision(uid).state is StudyState.NOT_ELIGIBLE
    assert "NumberOfFrames is 4; the model reads single images" in node.revision(uid).reason
