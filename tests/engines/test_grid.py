"""Geometry: there and back without moving anything."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from engines.errors import InputError
from engines.grid import Sampling, fitted, spaced, towards_lps
from tests.engines import builders

sizes = st.integers(1, 40)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 24), st.integers(1, 24))
SIGNED_PERMUTATIONS = [
    np.eye(3)[list(order)] * np.array(signs)[:, None]
    for order in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
]


def centres(grid, voxels):
    return np.asarray(voxels) @ grid.affine[:3, :3].T + grid.affine[:3, 3]


@pytest.mark.parametrize("turn", SIGNED_PERMUTATIONS)
def test_every_orthogonal_volume_comes_to_lie_like_the_patient(turn):
    source = builders.grid((2, 3, 4), turn=turn)
    orientation = towards_lps(source)
    turned = orientation.grid(source)

    assert np.all(turned.affine[:3, :3][::-1] * (1 - np.eye(3)) == 0)
    assert np.all(np.diag(turned.affine[:3, :3][::-1]) > 0)


@given(st.integers(0, 2**32 - 1), shapes)
def test_turning_moves_no_voxel_and_comes_back(seed, shape):
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    source = builders.grid(shape, turn=turn)
    array = np.arange(np.prod(shape)).reshape(shape)
    orientation = towards_lps(source)
    there = orientation.apply(array)
    grid = orientation.grid(source)

    assert there.shape == grid.shape
    assert np.array_equal(orientation.undo(there), array)
    for voxel in ((0, 0, 0), tuple(size - 1 for size in there.shape)):
        original = np.argwhere(array == there[voxel])[0]
        assert np.allclose(centres(grid, voxel), centres(source, original))


@given(st.integers(0, 2**32 - 1))
def test_an_oblique_volume_gets_the_nearest_axes(seed):
    angle = Rotation.from_rotvec(
        np.random.default_rng(seed).uniform(-0.4, 0.4, 3), degrees=False
    ).as_matrix()
    orientation = towards_lps(builders.grid(turn=angle))
    assert orientation.axes == (0, 1, 2)
    assert orientation.flips == (False, False, False)


def test_a_projection_has_no_patient_orientation():
    with pytest.raises(InputError, match="a projection image has none"):
        towards_lps(builders.grid(patient_frame=False))


def test_a_grid_with_parallel_axes_is_refused():
    source = builders.grid(turn=np.array([[1.0, 1, 0], [0, 0, 0], [0, 0, 1]]))
    with pytest.raises(InputError, match="do not span space"):
        towards_lps(source)


@given(shapes, st.tuples(*[st.floats(0.3, 6)] * 3))
def test_the_field_of_view_stays_when_the_spacing_changes(shape, spacing):
    source = builders.grid(shape)
    target = spaced(source, spacing).grid(source)

    assert np.allclose(
        centres(source, [-0.5, -0.5, -0.5]), centres(target, [-0.5, -0.5, -0.5]), atol=1e-6
    )
    assert np.allclose(
        centres(source, np.array(source.shape) - 0.5), centres(target, np.array(target.shape) - 0.5)
    )


def test_an_unknown_spacing_cannot_be_changed():
    with pytest.raises(InputError, match="does not say its own"):
        spaced(builders.grid(spacing_known=False), (1.0, 1.0, 1.0))


@given(shapes, shapes)
def test_resampling_keeps_a_constant(shape, other):
    sampling = Sampling(shape, other, other)
    constant = np.full(shape, 7.25, np.float32)
    there = sampling.forward(constant)

    assert there.shape == other
    assert np.allclose(there, 7.25, atol=1e-5)
    assert np.allclose(sampling.backward(there), 7.25, atol=1e-5)


@given(sizes, sizes)
def test_positions_keep_their_place_in_space_there_and_back(have, want):
    sampling = Sampling((1, 1, have), (1, 1, want), (1, 1, want))
    ramp = (np.arange(want, dtype=np.float32) + 0.5)[None, None] * (have / want)
    back = sampling.backward(ramp)[0, 0]
    inside = slice(int(np.ceil(have / want)), have - int(np.ceil(have / want)))
    assert np.allclose(back[inside], (np.arange(have) + 0.5)[inside], atol=1e-3)


@given(shapes, st.tuples(*[st.floats(0.3, 3)] * 3))
def test_resampling_is_the_gaussian_and_the_interpolation_of_scipy(shape, scale):
    target = tuple(max(1, round(size * by)) for size, by in zip(shape, scale, strict=True))
    image = builders.noise(*shape)
    factors = [have / want for have, want in zip(shape, target, strict=True)]
    sigma = [max(0.0, (factor - 1) / 2) for factor in factors]
    smooth = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="nearest")
    where = np.meshgrid(
        *[(np.arange(want) + 0.5) * by - 0.5 for want, by in zip(target, factors, strict=True)],
        indexing="ij",
    )
    expected = ndimage.map_coordinates(smooth, where, order=1, mode="nearest")
    assert np.allclose(Sampling(shape, target, target).forward(image), expected, atol=1e-4)


@given(shapes, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_fitted_image_keeps_its_proportions_and_lies_in_the_middle(shape, size):
    sampling = fitted(builders.grid(shape), size, keep_aspect=True)
    canvas = sampling.forward(np.ones(shape, np.float32), pad=-1.0)

    assert canvas.shape == (shape[0], *size)
    rows, columns = (np.flatnonzero((canvas[0] > 0).any(axis=axis)) for axis in (1, 0))
    for found, whole, content in zip((rows, columns), size, sampling.content[1:], strict=True):
        assert len(found) == content
        assert 0 <= (whole - 1 - found[-1]) - found[0] <= 1
    assert max(s - c for s, c in zip(size, sampling.content[1:], strict=True)) == 0 or (
        min(s - c for s, c in zip(size, sampling.content[1:], strict=True)) == 0
    )


def test_slices_are_resampled_as_they_come_into_whatever_part_of_an_array():
    image = builders.noise(9, 8, 7)
    sampling = Sampling(image.shape, (4, 5, 6), (4, 5, 6))
    room = np.full((4, 5, 12), 7, np.float32)
    assert sampling.forward(iter(image), out=room[:, :, ::2]).base is room
    assert np.array_equal(room[:, :, ::2], sampling.forward(image))
    assert (room[:, :, 1::2] == 7).all()


@given(shapes, shapes, st.integers(1, 5))
def test_a_slab_is_a_part_of_the_whole(shape, other, thickness):
    sampling = Sampling(shape, other, other)
    maps = builders.noise(*other)
    whole = sampling.backward(maps)
    slabs = [
        sampling.backward(maps, start, min(start + thickness, shape[0]))
        for start in range(0, shape[0], thickness)
    ]
    assert np.allclose(np.concatenate(slabs), whole, atol=1e-6)


@given(shapes, shapes)
def test_a_mask_goes_where_the_voxels_go(shape, other):
    mask = np.zeros(shape, np.bool_)
    mask[:, : (shape[1] + 1) // 2] = True
    carried = Sampling(shape, other, other).mask(mask)
    expected = (np.arange(other[1]) + 0.5) * shape[1] / other[1] < (shape[1] + 1) // 2
    assert np.array_equal(carried.any(axis=(0, 2)), expected)
