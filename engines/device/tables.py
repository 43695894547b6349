"""Resampling and placing as tables that a kernel walks, from the grid's own definitions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engines.grid import Orientation, Sampling
from engines.types import FloatArray


@dataclass(frozen=True)
class Table:
    """One axis of a linear resampling: each result mixes neighbours.

    Parameters
    ----------
    first
        int32 (want,): first element that counts; ``first + taps`` is never beyond the axis.
    weights
        float32 (want, taps): of the elements from `first` on, sum one.
    """

    first: npt.NDArray[np.int32]
    weights: FloatArray

    @property
    def taps(self) -> int:
        """Elements that are mixed for each result."""
        return int(self.weights.shape[1])

    @property
    def last(self) -> npt.NDArray[np.intp]:
        """Intp (want,): last element whose weight is not 0."""
        reach = self.taps - 1 - np.argmax(self.weights[:, ::-1] != 0, axis=1)
        return np.asarray(self.first + reach, dtype=np.intp)


@lru_cache(maxsize=16)
def forward(have: int, want: int) -> Table:
    """Make the table of `Sampling.forward` along an axis of `have` elements."""
    # Each column of the unit matrix comes back as a column of the sampling's weights.
    sampling = Sampling((have, 1, have), (want, 1, have), (want, 1, have))
    return _table(sampling.forward(np.eye(have, dtype=np.float32)[:, None])[:, 0])


@lru_cache(maxsize=16)
def backward(have: int, want: int) -> Table:
    """Make the table of `Sampling.backward` from `have` elements to `want` of the source."""
    sampling = Sampling((want, 1, have), (have, 1, have), (have, 1, have))
    return _table(sampling.backward(np.eye(have, dtype=np.float32)[:, None])[:, 0])


def _table(matrix: FloatArray) -> Table:
    """Keep the band of a matrix (want, have) that is not 0."""
    used = matrix != 0
    have = matrix.shape[1]
    first = np.argmax(used, axis=1)
    last = have - 1 - np.argmax(used[:, ::-1], axis=1)
    taps = int((last - first).max()) + 1
    first = np.minimum(first, have - taps)
    band = np.take_along_axis(matrix, first[:, None] + np.arange(taps), axis=1)
    return Table(first.astype(np.int32), np.ascontiguousarray(band, dtype=np.float32))


def steps(
    orientation: Orientation, shape: tuple[int, int, int]
) -> tuple[int, tuple[int, int, int]]:
    """Find where a turned volume's voxels lie in the memory of its source.

    Parameters
    ----------
    orientation
        From the source's axes to the turned ones.
    shape
        Of the source (k, j, i), C-contiguous.

    Returns
    -------
    origin, (step_k, step_j, step_i)
        Turned voxel (k, j, i) is element ``origin + k * step_k + j * step_j + i * step_i``.
    """
    strides = (shape[1] * shape[2], shape[2], 1)
    origin, found = 0, []
    for axis, flipped in zip(orientation.axes, orientation.flips, strict=True):
        origin += strides[axis] * (shape[axis] - 1) if flipped else 0
        found.append(-strides[axis] if flipped else strides[axis])
    return origin, (found[0], found[1], found[2])


__all__ = ["Table", "backward", "forward", "steps"]
