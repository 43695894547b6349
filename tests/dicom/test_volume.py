"""A series of files becomes one volume, with its headers."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.volume import read_series
from node.errors import GeometryError, PermanentError
from tests.builders import chest, ct_series, enhanced_ct, write

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def same_order(values, distances):
    return values if distances[0] < distances[-1] else values[::-1]


def test_voxels_are_whole_hounsfield_units_on_axes_k_j_i(tmp_path):
    source = read_series(write(ct_series(slices=5, rows=16, columns=12), tmp_path))

    volume = source.volume
    assert volume.voxels.dtype == np.int16
    assert volume.voxels.shape == volume.grid.shape == (5, 16, 12)
    assert volume.unit == "[hnsf'U]"
    assert volume.modality == "CT"
    assert volume.window == (40, 400)
    assert volume.padding is None
    assert set(np.unique(volume.voxels)) <= {-1000, 40, -850, -870, 60, 400, 110}


def test_left_right_and_front_back_are_where_the_affine_says(tmp_path):
    """The spine is behind, the heart on the left, the liver below on the right."""
    volume = read_series(write(ct_series(slices=24, rows=32, columns=32), tmp_path)).volume
    index = np.indices(volume.grid.shape).reshape(3, -1)
    points = (volume.grid.affine @ np.vstack([index, np.ones(index.shape[1])]))[:3].T
    low, high = points.min(axis=0), points.max(axis=0)

    expected = chest((2 * points - low - high) / (high - low))

    assert (volume.voxels.ravel() == expected).mean() > 0.999  # positions have decimals


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), OBLIQUE])
def test_affine_and_voxels_agree_with_highdicom(tmp_path, orientation):
    images = ct_series(slices=7, rows=9, columns=8, orientation=orientation)
    paths = write(images[::-1], tmp_path)
    oracle = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in paths])

    volume = read_series(paths).volume

    theirs, ours = oracle.affine, volume.grid.affine
    if theirs[:3, 0] @ ours[:3, 0] < 0:  # its slices may run the other way
        theirs = theirs @ np.array([[-1, 0, 0, 6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        array = oracle.array[::-1]
    else:
        array = oracle.array
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_array_equal(volume.voxels, array)


def test_headers_come_in_the_order_of_the_slices_without_pixels(tmp_path):
    images = ct_series(slices=4)
    paths = write([images[2], images[0], images[3], images[1]], tmp_path)

    datasets = read_series(paths).datasets

    assert [int(ds.InstanceNumber) for ds in datasets] == [1, 2, 3, 4]
    assert not any("PixelData" in ds for ds in datasets)
    assert datasets[0].PatientName == "Builder^Patient"
    assert datasets[0].file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def test_each_slice_has_its_own_rescale(tmp_path):
    images = ct_series(slices=3, Modality="PT", RescaleType=None)
    for k, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = str(k + 1), "0"
    stored = np.stack([image.pixel_array for image in images])

    volume = read_series(write(images, tmp_path)).volume

    np.testing.assert_array_equal(volume.voxels, stored * np.array([1, 2, 3])[:, None, None])
    assert volume.unit == "1"


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("stored", "intercept", "dtype"),
    [
        ((0, 4095), -1024, np.int16),
        ((0, 40000), -32768, np.int16),
        ((0, 40000), -1024, np.float32),
        ((0, 100), -0.5, np.float32),
        ((7, 8), -40000, np.float32),
    ],
)
def test_voxels_are_int16_only_where_every_value_of_every_slice_fits(
    tmp_path, stored, intercept, dtype, signed
):
    images = ct_series(slices=4, rows=6, columns=5)
    for image in images:
        low, high = (value - 20000 * signed for value in stored)
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, int(signed)
        image.RescaleIntercept = intercept + 20000 * signed
        pixels = np.full((6, 5), low, np.int16 if signed else np.uint16)
        if image is images[2]:
            pixels[3, 2] = high
        image.PixelData = pixels.tobytes()

    volume = read_series(write(images, tmp_path)).volume

    assert volume.voxels.dtype == dtype
    expected = np.full((6, 5), stored[0] + intercept)
    expected[3, 2] = stored[1] + intercept
    (odd,) = (k for k, plane in enumerate(volume.voxels) if np.ptp(plane))
    assert np.array_equal(volume.voxels[odd], expected)
    assert (np.delete(volume.voxels, odd, axis=0) == stored[0] + intercept).all()


def test_the_window_is_that_of_the_middle_slice(tmp_path):
    images = ct_series(slices=5)
    images[2].WindowCenter, images[2].WindowWidth = ["-600", "40"], ["1500", "400"]

    assert read_series(write(images, tmp_path)).volume.window == (-600, 1500)


def test_padding_is_marked(tmp_path):
    images = ct_series(slices=3, PixelPaddingValue=24)

    volume = read_series(write(images, tmp_path)).volume

    assert volume.padding is not None
    np.testing.assert_array_equal(volume.padding, volume.voxels == -1000)


def test_monochrome1_does_not_turn_hounsfield_units_around(tmp_path):
    as_usual = read_series(write(ct_series(), tmp_path / "2")).volume
    inverted = ct_series(PhotometricInterpretation="MONOCHROME1")

    volume = read_series(write(inverted, tmp_path / "1")).volume

    np.testing.assert_array_equal(volume.voxels, as_usual.voxels)


def test_geometry_is_checked_before_pixels_are_decoded(tmp_path):
    images = ct_series(slices=5, PixelData=b"")
    del images[2]

    with pytest.raises(GeometryError, match="1 slice missing"):
        read_series(write(images, tmp_path))


def test_a_multiframe_image_gives_the_same_volume_as_its_slices(tmp_path):
    single = read_series(write(ct_series(slices=5, orientation=OBLIQUE), tmp_path / "s"))
    multi = read_series(write(enhanced_ct(slices=5, orientation=OBLIQUE), tmp_path / "m"))

    np.testing.assert_array_equal(multi.volume.voxels, single.volume.voxels)
    np.testing.assert_array_equal(multi.volume.grid.affine, single.volume.grid.affine)
    assert multi.volume.unit == single.volume.unit
    assert multi.volume.window == single.volume.window
    assert multi.frame_numbers == (1, 2, 3, 4, 5)
    assert single.frame_numbers is None
    assert len(multi.datasets) == 1


def test_frames_are_ordered_by_position_and_numbered(tmp_path):
    image = enhanced_ct(slices=4)
    expected = read_series(write(image, tmp_path / "a")).volume
    turned = [2, 0, 3, 1]
    groups = list(image.PerFrameFunctionalGroupsSequence)
    image.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in turned]
    image.PixelData = image.pixel_array[turned].tobytes()

    source = read_series(write(image, tmp_path / "b"))

    assert source.frame_numbers == (2, 4, 1, 3)
    np.testing.assert_array_equal(source.volume.voxels, expected.voxels)
    np.testing.assert_array_equal(source.volume.grid.affine, expected.grid.affine)


def test_shared_functional_groups_count_for_every_frame(tmp_path):
    image = enhanced_ct(slices=4)
    expected = read_series(write(image, tmp_path / "a")).volume
    for name in ("PlaneOrientation", "PixelMeasures", "PixelValueTransformation", "FrameVOILUT"):
        shared = image.SharedFunctionalGroupsSequence[0]
        for frame in image.PerFrameFunctionalGroupsSequence:
            setattr(shared, f"{name}Sequence", frame[f"{name}Sequence"].value)
            delattr(frame, f"{name}Sequence")

    volume = read_series(write(image, tmp_path / "b")).volume

    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    np.testing.assert_array_equal(volume.grid.affine, expected.grid.affine)
    assert volume.window == expected.window


def test_each_frame_has_its_own_rescale(tmp_path):
    image = enhanced_ct(slices=3)
    image.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence[0].RescaleSlope = "2"

    volume = read_series(write(image, tmp_path)).volume

    np.testing.assert_array_equal(volume.voxels[1], image.pixel_array[1] * 2.0 - 1024)
    np.testing.assert_array_equal(volume.voxels[2], image.pixel_array[2] - 1024.0)


def test_what_a_frame_says_goes_before_what_is_shared(tmp_path):
    image = enhanced_ct(slices=3)
    shared = Dataset()
    shared.RescaleSlope, shared.RescaleIntercept = "7", "0"
    image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [shared]

    volume = read_series(write(image, tmp_path)).volume

    np.testing.assert_array_equal(volume.voxels, image.pixel_array - 1024.0)


def test_frames_of_two_phases_are_an_error(tmp_path):
    image = enhanced_ct(slices=4)
    groups = image.PerFrameFunctionalGroupsSequence
    for frame, group in enumerate(groups):
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + frame // 2
        group.PlanePositionSequence = groups[frame % 2].PlanePositionSequence

    with pytest.raises(GeometryError, match="4 slices are at 2 positions"):
        read_series(write(image, tmp_path))


def test_frames_without_positions_are_an_error(tmp_path):
    image = enhanced_ct(slices=4)
    del image.PerFrameFunctionalGroupsSequence

    with pytest.raises(GeometryError, match="PerFrameFunctionalGroupsSequence is absent"):
        read_series(write(image, tmp_path))


def test_frames_and_functional_groups_must_be_as_many(tmp_path):
    image = enhanced_ct(slices=4)
    del image.PerFrameFunctionalGroupsSequence[3]

    with pytest.raises(PermanentError, match="has 3 items; expected NumberOfFrames, 4"):
        read_series(write(image, tmp_path))


def test_several_multiframe_images_are_an_error(tmp_path):
    images = [enhanced_ct(seed="a"), enhanced_ct(seed="b")]

    with pytest.raises(GeometryError, match="2 of 2 instances are multi-frame images"):
        read_series(write(images, tmp_path))


def test_nothing_to_read_is_a_geometry_error():
    with pytest.raises(GeometryError, match="found 0 slice"):
        read_series([])
