"""Tiling: everything is covered, and an identity network gives the volume back."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.api import WindowPlan
from engines.errors import InferenceError
from engines.window import positions, stitch, sweep, weights
from tests.engines import builders

overlaps = st.floats(0, 0.95)
blends = st.sampled_from(["gaussian", "constant"])


@given(st.integers(1, 60), st.integers(0, 200), overlaps)
def test_windows_cover_the_axis_and_end_flush(patch, more, overlap):
    size = patch + more
    starts = positions(size, patch, overlap)
    covered = np.zeros(size, np.bool_)
    for start in starts:
        covered[start : start + patch] = True

    assert covered.all()
    assert starts[0] == 0
    assert starts[-1] == size - patch
    assert starts == sorted(set(starts))


@given(st.integers(1, 300), blends)
def test_no_voxel_of_a_window_has_no_weight(patch, blend):
    weight = weights(patch, blend)
    assert weight.min() > 0
    assert weight.max() <= 1
    assert np.allclose(weight, weight[::-1])


@given(
    st.tuples(*[st.integers(1, 14)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    overlaps,
    blends,
    st.integers(1, 5),
)
def test_an_identity_network_gives_the_volume_back(shape, patch, overlap, blend, batch):
    volume = builders.noise(2, *shape)
    swept = stitch(sweep(lambda windows: windows, volume, WindowPlan(patch, overlap, blend, batch)))
    assert swept.shape == volume.shape
    assert np.allclose(swept, volume, atol=1e-5)


def test_a_small_volume_is_padded_by_the_least_value_of_each_channel():
    volume = np.stack([np.full((1, 2, 2), 5.0), np.full((1, 2, 2), -3.0)]).astype(np.float32)
    seen = []

    def run(windows):
        seen.append(windows)
        return windows

    stitch(sweep(run, volume, WindowPlan((3, 4, 4), 0.5, "gaussian")))

    (windows,) = seen
    assert windows.shape == (1, 2, 3, 4, 4)
    assert np.all(windows[0, 0] == 5)
    assert np.all(windows[0, 1] == -3)


def test_windows_come_in_batches_of_the_size_asked_for():
    seen = []

    def run(windows):
        seen.append(len(windows))
        return windows

    stitch(sweep(run, builders.noise(1, 4, 4, 10), WindowPlan((2, 4, 2), 0.0, "constant", batch=2)))
    assert seen == [2, 2, 1, 2, 2, 1]


def test_the_middle_of_a_window_weighs_more_than_its_edge():
    volume = np.zeros((1, 1, 1, 6), np.float32)
    answers = iter([0.0, 1.0])

    def run(windows):
        return np.full_like(windows, next(answers))

    swept = stitch(sweep(run, volume, WindowPlan((1, 1, 4), 0.5, "gaussian")))[0, 0, 0]
    assert swept[2] < 0.5 < swept[3]
    assert np.isclose(swept[2], 1 - swept[3])


def test_an_output_of_another_size_is_refused():
    with pytest.raises(InferenceError, match=r"a window of \(2, 2, 2\) voxels gave output"):
        stitch(
            sweep(
                lambda windows: windows[..., :1],
                builders.noise(1, 4, 4, 4),
                WindowPlan((2, 2, 2), 0.5, "gaussian"),
            )
        )


@given(
    st.integers(1, 30),
    st.integers(1, 9),
    overlaps,
    st.integers(1, 3),
)
def test_slabs_come_in_order_and_without_gaps(slices, patch, overlap, values):
    volume = builders.noise(1, slices, 2, 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("engines.window.SLAB_VALUES", values * 2 * 3)
        slabs = list(sweep(doubled, volume, WindowPlan((patch, 2, 2), overlap, "gaussian")))

    end = 0
    for slab in slabs:
        assert slab.start == end
        assert 1 <= slab.values.shape[1] <= values
        end += slab.values.shape[1]
    assert end == slices
    assert np.allclose(stitch(slabs), doubled(volume[np.newaxis])[0], atol=1e-5)


def test_a_slab_leaves_before_the_windows_after_it_are_run():
    seen = []

    def run(windows):
        seen.append(len(windows))
        return windows

    slabs = sweep(run, builders.noise(1, 12, 4, 4), WindowPlan((4, 4, 4), 0.5, "constant"))
    assert next(slabs).values.shape == (1, 2, 4, 4)
    assert seen == [1]
    assert sum(slab.values.shape[1] for slab in slabs) == 10
    assert seen == [1] * 5


def test_memory_of_a_sweep_is_that_of_a_window_and_not_of_the_volume():
    volume, classes = builders.noise(1, 200, 24, 24), 16
    answer = np.ones((1, classes, 8, 8, 8), np.float32)
    plan = WindowPlan((8, 8, 8), 0.5, "gaussian")
    slab = 4 * classes * 8 * 24 * 24

    tracemalloc.start()
    try:
        for each in sweep(lambda windows: answer, volume, plan):
            assert each.values.min() > 0.9999
            assert each.values.max() < 1.0001
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3 * slab < 200 / 8 * slab


def doubled(windows):
    """Two classes: the input and twice the input."""
    return np.concatenate([windows, 2 * windows], axis=1)


@pytest.mark.parametrize("least", [0.0, 0.25])
@pytest.mark.parametrize("said", [(20.0, -20.0), (1.0, 0.0), (-20.0, -20.0)])
def test_a_window_without_anything_is_background_and_is_not_run(least, said):
    volume = np.full((1, 6, 4, 4), least, np.float32)
    volume[0, 5, 2:, 2:] = 1
    seen = []

    def run(windows):
        seen.extend(windows.copy())
        return doubled(windows)

    plan = WindowPlan((2, 2, 2), 0.0, "constant", skip_at_most=least, skipped=said)
    first, second = stitch(sweep(run, volume, plan))

    # The first window tells how many classes there are.
    assert [window.max() for window in seen] == [least, 1]
    full = np.s_[4:, 2:, 2:]
    assert np.array_equal(first[full], volume[0][full])
    first[full], second[full] = said
    assert np.all(first == said[0])
    assert np.all(second == said[1])


def test_a_window_not_run_is_blended_with_its_neighbour():
    volume = np.zeros((1, 1, 1, 6), np.float32)
    volume[..., 5] = 1
    plan = WindowPlan((1, 1, 4), 0.5, "constant", skip_at_most=0.0, skipped=(1.0, 0.0))
    first, second = stitch(sweep(lambda windows: np.zeros((1, 2, 1, 1, 4)), volume, plan))
    assert first[0, 0].tolist() == [1, 1, 0.5, 0.5, 0, 0]
    assert not second.any()


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("shape", [(20, 18, 19), (5, 18, 6)])
def test_within_a_region_the_output_is_that_of_all_windows(channels, shape):
    volume = builders.noise(1, *shape)
    seen = []

    def run(windows):
        seen.append(len(windows))
        return np.concatenate([windows * 0, np.sin(9 * windows)], axis=1)

    plan = WindowPlan((8, 8, 8), 0.5, "gaussian", batch=2)
    whole = stitch(sweep(run, volume, plan))
    every, part = sum(seen), (slice(None), slice(3, 5), slice(9, 16), slice(2, 5))
    seen.clear()
    first, last = (3, 9, 2), (5, 16, 5)
    some = stitch(sweep(run, volume, replace(plan, region=(first, last), channels=channels)))
    assert some.shape == whole.shape
    assert np.array_equal(some[part], whole[part])
    assert sum(seen) < every


def test_a_region_of_nothing_runs_no_window_but_says_how_many_channels_there_are():
    plan = WindowPlan((8, 8, 8), 0.5, "gaussian", region=((0, 0, 0), (0, 0, 0)))
    swept = stitch(sweep(lambda windows: windows, builders.noise(1, 20, 9, 8), plan))
    assert swept.shape == (1, 20, 9, 8)
    assert not swept.any()
