"""Tiling: everything is covered, and an identity network gives the volume back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.api import WindowPlan
from engines.errors import InferenceError
from engines.window import positions, sweep, weights
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
    swept = sweep(lambda windows: windows, volume, WindowPlan(patch, overlap, blend, batch))
    assert swept.shape == volume.shape
    assert np.allclose(swept, volume, atol=1e-5)


def test_a_small_volume_is_padded_by_the_least_value_of_each_channel():
    volume = np.stack([np.full((1, 2, 2), 5.0), np.full((1, 2, 2), -3.0)]).astype(np.float32)
    seen = []

    def run(windows):
        seen.append(windows)
        return windows

    sweep(run, volume, WindowPlan((3, 4, 4), 0.5, "gaussian"))

    (windows,) = seen
    assert windows.shape == (1, 2, 3, 4, 4)
    assert np.all(windows[0, 0] == 5)
    assert np.all(windows[0, 1] == -3)


def test_windows_come_in_batches_of_the_size_asked_for():
    seen = []

    def run(windows):
        seen.append(len(windows))
        return windows

    sweep(run, builders.noise(1, 10, 4, 4), WindowPlan((2, 4, 4), 0.0, "constant", batch=2))
    assert seen == [2, 2, 1]


def test_the_middle_of_a_window_weighs_more_than_its_edge():
    volume = np.zeros((1, 1, 1, 6), np.float32)
    answers = iter([0.0, 1.0])

    def run(windows):
        return np.full_like(windows, next(answers))

    swept = sweep(run, volume, WindowPlan((1, 1, 4), 0.5, "gaussian"))[0, 0, 0]
    assert swept[2] < 0.5 < swept[3]
    assert np.isclose(swept[2], 1 - swept[3])


def test_an_output_of_another_size_is_refused():
    with pytest.raises(InferenceError, match=r"a window of \(2, 2, 2\) voxels gave output"):
        sweep(
            lambda windows: windows[..., :1],
            builders.noise(1, 4, 4, 4),
            WindowPlan((2, 2, 2), 0.5, "gaussian"),
        )
