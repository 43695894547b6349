"""Tables mix what the grid's own resampling mixes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.device import tables
from engines.grid import Orientation, Sampling
from tests.engines import builders

SIZES = st.integers(1, 24)


def walked(table: tables.Table, values):
    """Mix as the kernel does."""
    return np.array(
        [
            weights @ values[first : first + table.taps]
            for first, weights in zip(table.first, table.weights, strict=True)
        ]
    )


@given(SIZES, SIZES)
def test_forward_is_the_samplings_own(have, want):
    values = builders.noise(have)
    sampling = Sampling((have, 1, 1), (want, 1, 1), (want, 1, 1))
    found = walked(tables.forward(have, want), values)
    assert np.allclose(found, sampling.forward(values[:, None, None])[:, 0, 0], atol=1e-6)


@given(SIZES, SIZES)
def test_backward_is_the_samplings_own(have, want):
    values = builders.noise(have)
    sampling = Sampling((want, 1, 1), (have, 1, 1), (have, 1, 1))
    table = tables.backward(have, want)
    found = walked(table, values)
    assert np.allclose(found, sampling.backward(values[:, None, None])[:, 0, 0], atol=1e-6)
    assert (np.diff(table.last) >= 0).all()
    assert table.last.max() < have


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_steps_find_each_voxel_of_the_source(axes, flips):
    orientation, source = Orientation(axes, flips), builders.noise(3, 4, 5)
    turned = orientation.apply(source)
    origin, step = tables.steps(orientation, (3, 4, 5))
    index = np.indices(turned.shape)
    places = origin + np.tensordot(step, index, axes=1)
    assert np.array_equal(source.ravel()[places], turned)
