"""Slices make one regular volume, or the error says why not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.geometry import volume_grid
from node.errors import GeometryError
from tests.builders import AXIAL, ct_series, uid


def shift(images, index, offset):
    """Move one slice by (x, y, z) mm."""
    position = np.array(images[index].ImagePositionPatient, float) + offset
    images[index].ImagePositionPatient = [f"{value:.4f}" for value in position]


def rotation(quaternion):
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_the_affine_maps_voxel_indices_to_lps_mm():
    order, grid, _ = volume_grid(ct_series(slices=3))

    assert order == [0, 1, 2]
    assert grid.shape == (3, 16, 12)
    assert grid.affine @ [0, 0, 0, 1] == pytest.approx([-10, -20, 30, 1])
    assert grid.affine @ [2, 3, 4, 1] == pytest.approx([-10 + 4 * 0.7, -20 + 3 * 0.8, 35, 1])
    assert grid.patient_frame


def test_the_first_value_of_pixel_spacing_is_between_rows():
    _, grid, _ = volume_grid(ct_series(spacing_mm=(2.5, 0.8, 0.7)))

    assert grid.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


def test_position_decides_on_the_order_and_instance_number_does_not():
    images = ct_series(slices=5)
    for number, image in enumerate(reversed(images)):
        image.InstanceNumber = number
        image.SliceLocation = number

    assert volume_grid(images)[0] == [0, 1, 2, 3, 4]
    assert volume_grid(images[::-1])[0] == [4, 3, 2, 1, 0]


@given(st.randoms(use_true_random=False))
def test_any_order_of_the_files_gives_the_same_grid(rng: random.Random):
    images = ct_series(slices=6, rows=2, columns=2, orientation=(0.8, 0.6, 0, -0.6, 0.8, 0))
    expected = volume_grid(images)[1].affine
    rng.shuffle(images)

    order, grid, _ = volume_grid(images)

    np.testing.assert_array_equal(grid.affine, expected)
    assert [int(images[index].InstanceNumber) for index in order] == [1, 2, 3, 4, 5, 6]


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_any_orientation_is_reproduced(quaternion):
    directions = rotation(quaternion)
    orientation = tuple(directions[:, 0]) + tuple(directions[:, 1])

    _, grid, _ = volume_grid(ct_series(slices=3, rows=2, columns=2, orientation=orientation))

    i, j, k = directions.T
    expected = np.stack([k * 2.5, j * 0.8, i * 0.7], axis=1)
    np.testing.assert_allclose(grid.affine[:3, :3], expected, atol=1e-5)


def test_positions_rounded_to_one_decimal_are_regular():
    images = ct_series(slices=40, rows=2, columns=2, spacing_mm=(0.625, 0.7, 0.7))
    for image in images:
        image.ImagePositionPatient = [f"{value:.1f}" for value in image.ImagePositionPatient]

    assert volume_grid(images)[1].spacing_mm[0] == pytest.approx(0.625, abs=0.003)


def test_direction_cosines_with_three_decimals_are_made_orthonormal():
    axes = rotation((0.9, 0.1, 0.2, 0.3))[:, :2].T.round(3)

    _, grid, _ = volume_grid(
        ct_series(ImageOrientationPatient=[*map(str, axes.ravel())], orientation=(*axes.ravel(),))
    )

    row, column = grid.affine[:3, 2] / 0.7, grid.affine[:3, 1] / 0.8
    assert row @ column == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(row) == pytest.approx(1)
    assert np.linalg.norm(column) == pytest.approx(1)


def test_one_slice_is_not_a_volume():
    with pytest.raises(GeometryError, match="found 1 slice; a volume needs at least 2"):
        volume_grid(ct_series(slices=1))


def test_no_slice_is_not_a_volume():
    with pytest.raises(GeometryError, match="found 0 slice"):
        volume_grid([])


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_slice_is_named_with_its_gap(missing):
    images = ct_series(slices=10)
    del images[4 : 4 + missing]

    with pytest.raises(GeometryError) as error:
        volume_grid(images)

    assert f"gap of {2.5 * (missing + 1):.2f} mm between slices 4 and 5" in str(error.value)
    assert "the spacing is 2.50 mm" in str(error.value)
    assert f"{missing} slice{'s' * (missing > 1)} missing" in str(error.value)


def test_one_of_four_slices_is_missed():
    images = ct_series(slices=4)
    del images[1]

    with pytest.raises(GeometryError, match=r"gap of 5\.00 mm between slices 1 and 2 of 3"):
        volume_grid(images)


def test_two_separate_gaps_are_counted():
    images = ct_series(slices=12)
    del images[8]
    del images[3]

    with pytest.raises(GeometryError, match="1 more such gaps: 2 slices missing"):
        volume_grid(images)


def test_slices_at_one_position_are_counted():
    images = ct_series(slices=4) + ct_series(slices=4, AcquisitionNumber="2")

    with pytest.raises(GeometryError, match="8 slices are at 4 positions; expected one"):
        volume_grid(images)


def test_the_position_of_a_missing_slice_is_named():
    images = ct_series(slices=10)
    del images[4]

    with pytest.raises(GeometryError, match=r"1 slice missing, the first at -10.00\\-20.00\\40.00"):
        volume_grid(images)


def test_a_gap_at_the_end_of_few_slices_is_found():
    images = ct_series(slices=5)
    del images[3]

    with pytest.raises(GeometryError, match="1 slice missing"):
        volume_grid(images)


def test_a_slice_that_jumped_sideways_is_an_error():
    images = ct_series(slices=5)
    shift(images, 2, (1.0, 0, 0))

    with pytest.raises(GeometryError, match=r"slice 3 of 5 is 1\.000 mm beside the line"):
        volume_grid(images)


def test_slices_of_two_orientations_are_an_error():
    images = ct_series(slices=4)
    images[1].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    with pytest.raises(GeometryError, match="ImageOrientationPatient differs by up to 1"):
        volume_grid(images)


@pytest.mark.parametrize(
    ("orientation", "message"),
    [
        ([1, 0, 0, 0, 2, 0], "length 1.000 and 2.000; expected 1"),
        ([1, 0, 0, 0.6, 0.8, 0], "53.13 degrees between row and column; expected 90"),
        ([0, 0, 0, 0, 0, 0], "length 0.000"),
    ],
)
def test_impossible_directions_are_an_error(orientation, message):
    with pytest.raises(GeometryError, match=message):
        volume_grid(ct_series(ImageOrientationPatient=orientation))


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
)
def test_an_absent_attribute_is_named(keyword):
    with pytest.raises(GeometryError, match=f"{keyword} is absent; expected . numbers"):
        volume_grid(ct_series(**{keyword: None}))


@pytest.mark.parametrize("value", [[1, 2], "", []])
def test_a_position_that_is_not_three_numbers_is_named(value):
    with pytest.raises(GeometryError, match="ImagePositionPatient cannot be read; expected 3"):
        volume_grid(ct_series(ImagePositionPatient=value))


def test_an_absent_frame_of_reference_is_an_error():
    with pytest.raises(GeometryError, match="FrameOfReferenceUID is absent"):
        volume_grid(ct_series(FrameOfReferenceUID=None))


def test_two_frames_of_reference_are_an_error():
    images = ct_series(slices=4)
    images[2].FrameOfReferenceUID = uid("another")

    with pytest.raises(GeometryError, match="FrameOfReferenceUID has 2 values over 4 slices"):
        volume_grid(images)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("Rows", 32, "Rows runs from 16 to 32 over 4 slices"),
        ("Columns", 8, "Columns runs from 8 to 12"),
        ("PixelSpacing", [0.8, 0.9], r"PixelSpacing runs from 0.8\\0.7 to 0.8\\0.9 mm"),
        ("PixelSpacing", [0.8, 0], "PixelSpacing is 0 mm; expected a positive number"),
    ],
)
def test_slices_of_two_sizes_are_an_error(keyword, value, message):
    images = ct_series(slices=4)
    setattr(images[3], keyword, value)

    with pytest.raises(GeometryError, match=message.replace("\\\\", r"\\")):
        volume_grid(images)


def test_no_message_carries_the_patient():
    for change in ({"PixelSpacing": None}, {"FrameOfReferenceUID": None}, {"Rows": None}):
        with pytest.raises(GeometryError) as error:
            volume_grid(ct_series(**change))
        assert "Builder" not in str(error.value).replace("BUILDER", "Builder")


def test_axial_rows_run_to_the_patients_left():
    _, grid, _ = volume_grid(ct_series(orientation=AXIAL))

    assert grid.affine[0, 2] > 0
