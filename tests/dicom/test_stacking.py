"""Slices that lean or are unevenly spaced go to a regular grid and back, to the voxel."""

from __future__ import annotations

import numpy as np
import pytest

from node.dicom.geometry import volume_grid
from node.dicom.volume import read_series
from node.errors import GeometryError
from tests.builders import ct_series, enhanced_ct, write
from tests.builders.marked import mark, place_of
from tests.builders.volumes import leaning, uneven

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


STACKS = {
    "a tilted gantry": lambda: leaning(ct_series(slices=20), 18.0),
    "a gantry tilted the other way": lambda: leaning(ct_series(slices=20), -25.0),
    "a stack that leans along its rows": lambda: leaning(ct_series(slices=20), 12.0, along=1),
    "an oblique stack that leans": lambda: leaning(ct_series(slices=12, orientation=OBLIQUE), 20.0),
    "a base of thin and a vault of thick slices": lambda: uneven(
        ct_series(slices=12), [0, 2.5, 5, 7.5, 10, 12.5, 17.5, 22.5, 27.5, 32.5, 37.5, 42.5]
    ),
    "thick slices first": lambda: uneven(
        ct_series(slices=9), [0, 5, 10, 15, 17.5, 20, 22.5, 25, 27.5]
    ),
    "slices at positions that wander": lambda: uneven(
        ct_series(slices=7), [0, 2.2, 5.1, 7.9, 10.0, 12.4, 15]
    ),
    "a tilted gantry with thick slices": lambda: leaning(
        uneven(ct_series(slices=9), [0, 5, 10, 15, 17.5, 20, 22.5, 25, 27.5]), 15.0
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_marked_voxel_comes_back_from_the_regular_grid_to_its_own_slice(tmp_path, name):
    images = STACKS[name]()
    marks = [(k, (3 * k) % 14 + 1, (5 * k) % 10 + 1) for k in range(len(images))]
    for k, j, i in marks:
        mark(images[k], j, i)

    source = read_series(write(images[::-1], tmp_path))
    straight = source.stack.straighten(source.volume)
    labels = source.stack.to_slices((straight.voxels > 900).astype(np.uint8))

    found = {tuple(int(n) for n in voxel) for voxel in np.argwhere(labels)}
    expected = {
        (k, j, i)
        for k, header in enumerate(source.datasets)
        for number, j, i in marks
        if int(header.InstanceNumber) == number + 1
    }
    assert found == expected


@pytest.mark.parametrize("name", STACKS)
def test_the_regular_grid_has_a_marked_voxel_where_its_header_says(tmp_path, name):
    images = STACKS[name]()
    j, i, k = 6, 5, len(images) // 2
    mark(images[k], j, i)
    place = place_of(images[k], j, i)

    source = read_series(write(images, tmp_path))
    straight = source.stack.straighten(source.volume)

    axes = straight.grid.affine[:3, :3]
    gram = axes.T @ axes
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-6)
    brightest = np.array([*np.unravel_index(straight.voxels.argmax(), straight.voxels.shape), 1])
    off = np.linalg.inv(straight.grid.affine)[:3, :3] @ (
        (straight.grid.affine @ brightest)[:3] - place
    )
    assert np.abs(off).max() <= 0.5 + 1e-3  # half a voxel of the regular grid


def test_pixels_of_a_tilted_stack_are_moved_and_not_interpolated(tmp_path):
    source = read_series(write(leaning(ct_series(slices=20), 18.0), tmp_path))

    straight = source.stack.straighten(source.volume)

    inside = straight.voxels[~straight.padding]
    assert sorted(inside) == sorted(source.volume.voxels.ravel())
    assert straight.padding.sum() > 0


def test_padding_of_the_slices_does_not_become_an_image(tmp_path):
    images = uneven(ct_series(slices=7, PixelPaddingValue=24), [0, 2.2, 5.1, 7.9, 10, 12.4, 15])

    source = read_series(write(images, tmp_path))
    straight = source.stack.straighten(source.volume)

    inside = straight.voxels[~straight.padding]
    assert inside.min() >= source.volume.voxels[~source.volume.padding].min()


@pytest.mark.parametrize("degrees", [0.3, 0.0])
def test_rounded_positions_are_no_tilt(degrees):
    assert volume_grid(leaning(ct_series(slices=3), degrees)).stack is None


def test_a_stack_that_leans_more_than_any_gantry_is_refused():
    with pytest.raises(GeometryError, match=r"leans by 50\.0 degrees .*at most 45 are read"):
        volume_grid(leaning(ct_series(slices=10), 50.0))


def test_spacing_that_varies_too_much_is_refused():
    images = uneven(ct_series(slices=9), [0, 1, 2, 3, 4, 9, 14, 19, 24])

    with pytest.raises(
        GeometryError, match=r"gaps run from 1\.000 to 5\.000 mm; the widest may be 4"
    ):
        volume_grid(images)


def test_one_wide_gap_is_a_missing_slice_and_no_change_of_spacing():
    images = uneven(ct_series(slices=7), [0, 2.5, 5, 10, 12.5, 15, 17.5])

    with pytest.raises(GeometryError, match="1 slice missing"):
        volume_grid(images)


def test_frames_of_a_multiframe_image_may_lean_too(tmp_path):
    image = enhanced_ct(slices=10)
    frames = image.PerFrameFunctionalGroupsSequence
    for k, frame in enumerate(frames):
        x, y, z = map(float, frame.PlanePositionSequence[0].ImagePositionPatient)
        frame.PlanePositionSequence[0].ImagePositionPatient = [x, y + 0.9 * k, z]

    source = read_series(write(image, tmp_path))

    assert source.stack is not None
    assert source.frame_numbers == tuple(range(1, 11))
