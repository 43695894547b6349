"""Slices that are parallel, but neither evenly spaced nor one behind the other: there and back.

A tilted gantry shears the stack, a change of spacing in mid-series stretches it. Networks, and
everything here that counts in voxels, want a regular grid. A `Stack` makes one, and brings
labels from it back to the slices as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines.types import Array, BoolArray, FloatArray, Grid, LabelArray, Volume, VoxelArray


@dataclass(frozen=True)
class Stack:
    """Where the slices of a source lie on a regular grid.

    Sideways a slice is moved by whole pixels, so that no value is interpolated there and every
    pixel comes back to itself; at most half a pixel of the way is left. Between unevenly spaced
    slices values are interpolated linearly.

    Parameters
    ----------
    grid
        The regular grid, its axes at right angles.
    source
        Slices, rows and columns of the source.
    at
        float64, shape (slices,), increasing: the place of each source slice along k of `grid`,
        in steps of `grid`. Neighbours are at least one step apart.
    shift
        int, shape (slices, 2): row and column of `grid` where each slice begins.
    """

    grid: Grid
    source: tuple[int, int, int]
    at: npt.NDArray[np.float64]
    shift: npt.NDArray[np.intp]

    def straighten(self, volume: Volume) -> Volume:
        """Bring a volume of the source's shape to the grid.

        Returns
        -------
        Volume
            Where no slice reaches, it is padding, and 0.
        """
        voxels = np.zeros(self.grid.shape, np.float32)
        padding = np.ones(self.grid.shape, np.bool_)
        source_padding = volume.padding
        for k, (below, above, weight) in enumerate(self._neighbours()):
            for slice_number, share in ((below, 1 - weight), (above, weight)):
                if share > 0:
                    self._add(voxels[k], padding[k], volume.voxels, source_padding,
                              slice_number, np.float32(share))  # fmt: skip
        return replace(
            volume, voxels=voxels, grid=self.grid, padding=padding if padding.any() else None
        )

    def to_slices(self, labelmap: LabelArray) -> LabelArray:
        """Bring labels on the grid back to the source's slices: each gets those nearest to it.

        Returns
        -------
        ndarray
            uint8, axes (k, j, i), of the source's shape.
        """
        found = np.empty(self.source, labelmap.dtype)
        for k, nearest in enumerate(np.rint(self.at).astype(int)):
            found[k] = labelmap[nearest][self._window(k)]
        return found

    def _window(self, slice_number: int) -> tuple[slice, slice]:
        row, column = (int(start) for start in self.shift[slice_number])
        return slice(row, row + self.source[1]), slice(column, column + self.source[2])

    def _neighbours(self) -> list[tuple[int, int, float]]:
        """Slices below and above each place along k, and the weight of the one above."""
        places = np.arange(self.grid.shape[0], dtype=np.float64)
        above = np.clip(np.searchsorted(self.at, places), 1, len(self.at) - 1)
        below = above - 1
        weights = (places - self.at[below]) / (self.at[above] - self.at[below])
        weights = np.clip(weights, 0.0, 1.0)
        return [
            (int(low), int(high), float(weight))
            for low, high, weight in zip(below, above, weights, strict=True)
        ]

    def _add(
        self,
        plane: FloatArray,
        outside: BoolArray,
        voxels: VoxelArray,
        padding: BoolArray | None,
        slice_number: int,
        share: np.float32,
    ) -> None:
        """Add one slice's share; where only one of two slices has an image, it counts whole."""
        window = self._window(slice_number)
        valid = np.ones(self.source[1:], np.bool_)
        if padding is not None:
            valid = ~padding[slice_number]
        part: Array = plane[window]
        first = valid & outside[window]
        second = valid & ~first
        values = voxels[slice_number]
        # The first comer stands for both until the second comes.
        part[first] = values[first]
        part[second] += share * (values[second] - part[second])
        outside[window] &= ~valid
