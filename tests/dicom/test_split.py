"""The volumes of one series are told apart, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.dicom.split import split_series
from node.dicom.volume import read_series
from tests.builders import ct_series, enhanced_ct, write
from tests.builders.volumes import several, with_phases

SAGITTAL = (0, 1, 0, 0, 0, -1)


def labels_of(parts):
    return [part.label for part in parts]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("AcquisitionNumber", ("1", "2")),
        ("TemporalPositionIdentifier", ("1", "2", "3")),
        ("EchoTime", ("2.3", "4.6")),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("TriggerTime", ("0", "120", "240")),
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("AcquisitionTime", ("101500", "101540")),
    ],
)
def test_volumes_are_told_apart_by_the_attribute_that_differs(tmp_path, keyword, values):
    images = several(*({keyword: value} for value in values))
    paths = write(images[1::2] + images[::2], tmp_path)

    parts, refused = split_series(paths)

    assert refused == []
    assert sorted(labels_of(parts)) == sorted(f"{keyword} {value}" for value in values)
    for part in parts:
        source = read_series([paths[n] for n in part.files])
        assert source.volume.grid.shape[0] == part.slices == 4
        assert part.spacing_mm == 2.5
        assert len({str(ds[keyword].value) for ds in source.datasets}) == 1


def test_a_series_of_one_volume_stays_whole_and_has_no_label(tmp_path):
    parts, refused = split_series(write(ct_series(slices=5), tmp_path))

    assert (len(parts), refused) == (1, [])
    assert parts[0].label == ""
    assert parts[0].files == (0, 1, 2, 3, 4)


def test_an_acquisition_time_for_every_slice_does_not_take_a_volume_apart(tmp_path):
    images = ct_series(slices=5)
    for k, image in enumerate(images):
        image.AcquisitionTime, image.AcquisitionNumber = f"1015{k:02}", str(k)

    parts, _ = split_series(write(images, tmp_path))

    assert [part.slices for part in parts] == [5]


def test_phases_that_overlap_in_part_are_told_apart(tmp_path):
    late = (-10.0, -20.0, 37.5)
    images = several({"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2", "origin": late})

    parts, refused = split_series(write(images, tmp_path))

    assert refused == []
    assert labels_of(parts) == ["AcquisitionNumber 1", "AcquisitionNumber 2"]


def test_two_attributes_together_tell_what_neither_tells_alone(tmp_path):
    images = several(
        {"DiffusionBValue": 0.0, "AcquisitionNumber": "1"},
        {"DiffusionBValue": 0.0, "AcquisitionNumber": "2"},
        {"DiffusionBValue": 800.0, "AcquisitionNumber": "1"},
        {"DiffusionBValue": 800.0, "AcquisitionNumber": "2"},
    )

    parts, refused = split_series(write(images, tmp_path))

    assert refused == []
    assert labels_of(parts)[0] == "DiffusionBValue 0.0, AcquisitionNumber 1"
    assert len(parts) == 4


def test_attributes_that_disagree_are_refused(tmp_path):
    images = several({"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2"})
    for k, image in enumerate(images):
        image.EchoTime = "10" if k % 2 == k // 4 % 2 else "20"

    parts, refused = split_series(write(images, tmp_path))

    assert parts == []
    assert "EchoTime and AcquisitionNumber tell them apart in different ways" in refused[0]


def test_slices_that_came_twice_are_refused(tmp_path):
    images = several({}, {})

    parts, refused = split_series(write(images, tmp_path))

    assert parts == []
    assert "8 slices are at 4 positions" in refused[0]
    assert "all are alike" in refused[0]


def test_a_localizer_beside_a_volume_is_left_out_with_its_reason(tmp_path):
    images = several({"slices": 6}, {"slices": 1, "orientation": SAGITTAL})

    parts, refused = split_series(write(images, tmp_path))

    assert [part.slices for part in parts] == [6]
    assert labels_of(parts) == [""]
    assert refused == [
        r"ImageOrientationPatient 0.00\1.00\0.00\0.00\0.00\-1.00: "
        "found 1 slice; a volume needs at least 2"
    ]


def test_a_reformat_beside_its_source_is_a_volume_of_its_own(tmp_path):
    images = several({"slices": 6}, {"slices": 5, "orientation": SAGITTAL})

    parts, refused = split_series(write(images, tmp_path))

    assert refused == []
    assert [part.slices for part in parts] == [6, 5]
    assert all(label.startswith("ImageOrientationPatient") for label in labels_of(parts))


def test_a_phase_with_a_missing_slice_is_refused_and_the_other_is_not(tmp_path):
    images = several(
        {"AcquisitionNumber": "1", "slices": 6}, {"AcquisitionNumber": "2", "slices": 6}
    )
    del images[3]

    parts, refused = split_series(write(images, tmp_path))

    assert labels_of(parts) == ["AcquisitionNumber 2"]
    assert refused[0].startswith("AcquisitionNumber 1: ImagePositionPatient: gap of 5.00 mm")


def test_frames_of_several_phases_are_volumes_of_their_own(tmp_path):
    image = with_phases(enhanced_ct(slices=12), 3)
    pixels = image.pixel_array
    paths = write(image, tmp_path)

    parts, refused = split_series(paths)

    assert refused == []
    assert labels_of(parts) == [f"TemporalPositionIndex {n}" for n in (1, 2, 3)]
    assert parts[1].frames == (2, 5, 8, 11)
    source = read_series(paths, parts[1].frames)
    assert source.frame_numbers == (2, 5, 8, 11)
    np.testing.assert_array_equal(source.volume.voxels, pixels[[1, 4, 7, 10]] - 1024.0)


def test_stacks_of_one_multiframe_image_are_volumes_of_their_own(tmp_path):
    image = with_phases(enhanced_ct(slices=8), 2)
    for group in image.PerFrameFunctionalGroupsSequence:
        content = group.FrameContentSequence[0]
        content.StackID = str(content.TemporalPositionIndex)
        del content.TemporalPositionIndex

    parts, refused = split_series(write(image, tmp_path))

    assert refused == []
    assert labels_of(parts) == ["StackID 1", "StackID 2"]


def test_b_values_of_an_enhanced_mr_are_volumes_of_their_own(tmp_path):
    image = with_phases(enhanced_ct(slices=8), 2)
    for frame, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        del group.FrameContentSequence[0].TemporalPositionIndex
        group.MRDiffusionSequence = [item_of(DiffusionBValue=1000.0 * (frame % 2))]

    parts, _ = split_series(write(image, tmp_path))

    assert labels_of(parts) == ["DiffusionBValue 0.0", "DiffusionBValue 1000.0"]


def item_of(**values):

    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def test_each_of_several_multiframe_images_is_a_volume(tmp_path):
    images = [enhanced_ct(seed="a"), enhanced_ct(seed="b", slices=5)]
    images[1].InstanceNumber = "2"

    parts, refused = split_series(write(images, tmp_path))

    assert refused == []
    assert [(part.files, part.frames, part.slices) for part in parts] == [
        ((0,), (), 4),
        ((1,), (), 5),
    ]
    assert labels_of(parts) == ["InstanceNumber 1", "InstanceNumber 2"]


def test_frames_without_positions_are_refused(tmp_path):
    image = enhanced_ct(slices=4)
    del image.PerFrameFunctionalGroupsSequence

    parts, refused = split_series(write(image, tmp_path))

    assert parts == []
    assert "PerFrameFunctionalGroupsSequence is absent" in refused[0]


def test_the_order_of_the_files_does_not_matter(tmp_path):
    images = several({"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2"})
    paths = write(images, tmp_path)
    shuffled = paths[::-2] + paths[::2]

    def found(order):
        return {
            (part.label, frozenset(order[n] for n in part.files)) for part in split_series(order)[0]
        }

    assert found(paths) == found(shuffled)
