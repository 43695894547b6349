"""The Segmentation holds exactly the label map, on the geometry of the source."""

from __future__ import annotations

import dataclasses

import highdicom as hd
import numpy as np
import pytest

from node.domain import ResultKind
from node.encode.base import encode
from node.errors import PermanentError
from tests.encode.conftest import LEFT, OBLIQUE, RIGHT, SOURCES, lungs, make_context


def segmentation(result, source, **changes):
    context = make_context(source, kinds=(ResultKind.SEG,), **changes)
    (encoded,) = encode(result, source, context)
    return encoded.read()


def mask_of(ds, number, source):
    """Read one segment back with highdicom, axes (k, j, i) of the source."""
    seg = hd.seg.Segmentation.from_dataset(ds)
    images = source.datasets
    if source.frame_numbers is None:
        pixels = seg.get_pixels_by_source_instance(
            [image.SOPInstanceUID for image in images],
            segment_numbers=[number],
            assert_missing_frames_are_empty=True,
        )
    else:
        pixels = seg.get_pixels_by_source_frame(
            images[0].SOPInstanceUID,
            list(source.frame_numbers),
            segment_numbers=[number],
            assert_missing_frames_are_empty=True,
        )
    return pixels[..., 0] > 0


@pytest.mark.parametrize("kind", SOURCES)
def test_every_pixel_comes_back(kind, source_of):
    source = source_of(kind)
    result = lungs(source)
    ds = segmentation(result, source)

    assert [item.SegmentLabel for item in ds.SegmentSequence] == ["Left lung", "Right lung"]
    for number, label in enumerate((LEFT, RIGHT), 1):
        expected = result.labelmap == label.value
        assert np.array_equal(mask_of(ds, number, source), expected)


@pytest.mark.parametrize(
    "changes",
    [{"orientation": OBLIQUE}, {"slices": 3, "rows": 9, "columns": 11}],
    ids=["oblique", "odd number of pixels"],
)
def test_every_pixel_comes_back_from_unusual_series(changes, source_of):
    source = source_of("ct", **changes)
    result = lungs(source)
    ds = segmentation(result, source)

    assert np.array_equal(mask_of(ds, 1, source), result.labelmap == LEFT.value)


def test_every_pixel_comes_back_from_a_single_slice(source_of):
    source = source_of("ct")
    grid = source.volume.grid
    single = dataclasses.replace(
        source,
        volume=dataclasses.replace(
            source.volume,
            voxels=source.volume.voxels[:1],
            grid=dataclasses.replace(grid, shape=(1, *grid.shape[1:])),
            padding=None,
        ),
        datasets=source.datasets[:1],
    )
    result = lungs(single)
    ds = segmentation(result, single)

    assert np.array_equal(mask_of(ds, 1, single), result.labelmap == LEFT.value)
    assert len(encode(result, single, make_context(single))) == 3


def test_slices_in_the_other_order_keep_their_places(source_of):
    source = source_of("ct")
    volume, grid = source.volume, source.volume.grid
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (grid.shape[0] - 1)
    affine[:3, 0] *= -1
    flipped = dataclasses.replace(
        source,
        volume=dataclasses.replace(
            volume,
            voxels=volume.voxels[::-1].copy(),
            grid=dataclasses.replace(grid, affine=affine),
        ),
        datasets=source.datasets[::-1],
    )
    result = lungs(flipped)
    ds = segmentation(result, flipped)

    assert np.array_equal(mask_of(ds, 1, flipped), result.labelmap == LEFT.value)


def test_some_frames_of_a_multi_frame_image_are_referred_to_by_their_numbers(source_of):
    source = source_of("enhanced")
    numbers = source.frame_numbers[2:5]
    grid = source.volume.grid
    affine = grid.affine.copy()
    affine[:3, 3] += 2 * affine[:3, 0]
    part = dataclasses.replace(
        source,
        volume=dataclasses.replace(
            source.volume,
            voxels=source.volume.voxels[2:5],
            grid=dataclasses.replace(grid, shape=(3, *grid.shape[1:]), affine=affine),
            padding=None,
        ),
        frame_numbers=numbers,
    )
    result = lungs(part)
    ds = segmentation(result, part)

    referred = {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for frame in ds.PerFrameFunctionalGroupsSequence
    }
    assert referred <= set(numbers)
    assert np.array_equal(mask_of(ds, 1, part), result.labelmap == LEFT.value)


def test_frames_are_written_only_where_there_are_voxels(source_of):
    source = source_of("ct")
    result = lungs(source)
    ds = segmentation(result, source)

    expected = sum(
        int((result.labelmap == label.value).any(axis=(1, 2)).sum()) for label in (LEFT, RIGHT)
    )
    assert ds.NumberOfFrames == expected


def test_segments_are_numbered_without_gaps_whatever_was_found(source_of):
    source = source_of("ct")
    ds = segmentation(lungs(source, left=False), source)

    (segment,) = ds.SegmentSequence
    assert (segment.SegmentNumber, segment.SegmentLabel) == (1, "Right lung")
    for frame in ds.PerFrameFunctionalGroupsSequence:
        values = frame.FrameContentSequence[0].DimensionIndexValues
        assert len(values) == len(ds.DimensionIndexSequence)


def test_a_segment_says_what_made_it(source_of):
    source = source_of("ct")
    ds = segmentation(lungs(source), source)

    segment = ds.SegmentSequence[0]
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lungs", "1.2.0")
    assert f"weights_sha256={'cd' * 32}" in algorithm.AlgorithmParameters
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert ds.ContentQualification == "RESEARCH"


def test_nothing_found_writes_no_segmentation_but_still_a_report_and_a_picture(source_of):
    source = source_of("ct")
    nothing = lungs(source, left=False, right=False)

    kinds = [one.kind for one in encode(nothing, source, make_context(source))]
    assert kinds == [ResultKind.SR, ResultKind.SC]


def test_a_label_map_of_another_shape_is_refused_with_both_shapes(source_of):
    source = source_of("ct")
    result = lungs(source)
    wrong = dataclasses.replace(result, labelmap=result.labelmap[1:])

    with pytest.raises(PermanentError, match=r"\(5, 16, 12\).*\(6, 16, 12\)"):
        encode(wrong, source, make_context(source))


def test_a_value_without_a_label_is_refused(source_of):
    source = source_of("ct")
    result = lungs(source)
    result.labelmap[0, 0, 0] = 77

    with pytest.raises(PermanentError, match=r"\[77\]"):
        encode(result, source, make_context(source))


def test_headers_that_are_elsewhere_than_the_grid_are_refused(source_of):
    source = source_of("ct")
    shuffled = dataclasses.replace(source, datasets=source.datasets[::-1])

    with pytest.raises(PermanentError, match=r"ImagePositionPatient.*mm away"):
        encode(lungs(source), shuffled, make_context(source))


def test_what_highdicom_refuses_is_a_permanent_error_that_names_the_object(source_of):
    source = source_of("ct")

    with pytest.raises(PermanentError, match="the SEG_BINARY object cannot be made: ValueError"):
        segmentation(lungs(source), source, content_qualification="SOMETHING")


def test_images_of_two_patients_are_refused_without_naming_them(source_of):
    source = source_of("ct")
    source.datasets[1].PatientID = "ANOTHER"

    with pytest.raises(PermanentError, match="2 values of PatientID") as refused:
        encode(lungs(source), source, make_context(source))
    assert "ANOTHER" not in str(refused.value)
