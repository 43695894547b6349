"""A task with a result type of its own: the brightest voxel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.api import Prepared
from engines.package import Package
from engines.types import FloatArray, Result, Volume


@dataclass(frozen=True)
class Brightest(Result):
    """The brightest voxel and the slice it is in.

    Parameters
    ----------
    index
        (k, j, i) on the source grid.
    value
        In the unit of the volume.
    slice_
        float32, axes (j, i).
    """

    index: tuple[int, int, int]
    value: float
    slice_: FloatArray


class ToyTask:
    """The image as it is in, the brightest voxel out."""

    def prepare(self, package: Package, volumes: Sequence[Volume]) -> Prepared:
        """Take the first volume as it is."""
        volume = volumes[0]
        voxels = np.asarray(volume.voxels, dtype=np.float32)
        return Prepared(voxels[np.newaxis], volume.grid, None)

    def finish(
        self, package: Package, output: FloatArray, prepared: Prepared, volumes: Sequence[Volume]
    ) -> Brightest:
        """Find the highest value."""
        k, j, i = (int(n) for n in np.unravel_index(output[0].argmax(), output[0].shape))
        return Brightest((k, j, i), float(output[0, k, j, i]), output[0, k])
