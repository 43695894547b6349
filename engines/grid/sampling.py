"""Linear resampling to another size, centred in a canvas, and back.

Each axis is resampled by one small matrix of few weights a row: sparse along k and j, where a
weight applies to whole lines of voxels, and by BLAS in blocks along i, where it does not. Both
are several times faster than an interpolating loop, and the blur costs next to nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from engines.errors import InputError
from engines.types import Array, BoolArray, FloatArray, Grid

Shape = tuple[int, int, int]

COLUMNS_AT_ONCE = 32
"""Of one block: fewer make BLAS slow, more make it multiply by zeros."""


@dataclass(frozen=True)
class Sampling:
    """How an image is resampled and where it lies in its canvas; axes (k, j, i).

    Outer edges coincide: voxel ``t`` of the content samples the source at
    ``(t + 0.5) * factor - 0.5`` with ``factor = source / content``; samples outside
    repeat the border.

    Parameters
    ----------
    source
        Shape of the image.
    content
        Shape of the resampled image.
    canvas
        Shape of the result, in which the content is centred (the odd voxel comes last).
    """

    source: Shape
    content: Shape
    canvas: Shape

    @property
    def factor(self) -> tuple[float, float, float]:
        """Source voxels per content voxel along k, j and i."""
        k, j, i = (have / want for have, want in zip(self.source, self.content, strict=True))
        return k, j, i

    @property
    def before(self) -> Shape:
        """Canvas voxels in front of the content along k, j and i."""
        k, j, i = ((all_ - part) // 2 for all_, part in zip(self.canvas, self.content, strict=True))
        return k, j, i

    def forward(
        self, planes: Iterable[FloatArray], *, pad: float = 0.0, out: FloatArray | None = None
    ) -> FloatArray:
        """Resample an image to the canvas, slice by slice: memory is the canvas and a few slices.

        Axes that shrink are blurred first by a Gaussian of ``(factor - 1) / 2`` voxels.

        Parameters
        ----------
        planes
            The slices of an image of shape `source` in the order of k, such as its array; each
            is taken once. Axes (j, i), float32 or an integer type, finite.
        pad
            Value of the canvas around the content.
        out
            float32, shape `canvas`: where the result is written; a new array by default.

        Returns
        -------
        ndarray
            float32, shape `canvas`.
        """
        canvas = np.empty(self.canvas, dtype=np.float32) if out is None else out
        if self.canvas != self.content:
            canvas[...] = pad
        # What shrinks most goes first, so that the rest has less to do.
        order = [
            int(axis) for axis in np.argsort([-factor for factor in self.factor], kind="stable")
        ]
        before, after = order[: order.index(0)], order[order.index(0) + 1 :]
        reduced = (self._in_plane(plane, before) for plane in planes)
        mixed = _mixed(reduced, self.source[0], self.content[0])
        for result, plane in zip(canvas[self._window()], mixed, strict=True):
            result[...] = self._in_plane(plane, after)
        return canvas

    def _in_plane(self, plane: FloatArray, axes: Sequence[int]) -> FloatArray:
        """Resample one slice along some of the axes 1 (rows) and 2 (columns)."""
        stack = np.asarray(plane, dtype=np.float32)[np.newaxis]
        for axis in axes:
            stack = _along(stack, axis - 3, self.content[axis], antialias=True)
        result: FloatArray = stack[0]
        return result

    def needed(self, start: int, stop: int, axis: int = 0) -> tuple[int, int]:
        """Find the canvas slices, first and past the last, that `backward` reads for a range.

        Both grow with the range's `start` and `stop`. `axis` 1 and 2: rows and columns.
        """
        have, want, before = self.content[axis], self.source[axis], self.before[axis]
        if have == want:
            return before + start, before + stop
        ends = np.array([start, stop - 1])
        position = np.clip((ends + 0.5) * (have / want) - 0.5, 0, have - 1)
        low, high = np.floor(position).astype(np.intp).tolist()
        return before + low, before + min(high + 1, have - 1) + 1

    def backward(
        self, maps: FloatArray, start: int = 0, stop: int | None = None, *, first: int = 0
    ) -> FloatArray:
        """Resample a map on the canvas to source slices ``start`` to ``stop``.

        Parameters
        ----------
        maps
            float32, axes (k, j, i): slices of the canvas from `first` on, at least those
            that `needed` names, and its rows and columns.
        start, stop
            Source slices wanted; all of them by default. A few at a time keep
            memory bounded.
        first
            Canvas slice that `maps` begins with.

        Returns
        -------
        ndarray
            float32, axes (k, j, i), rows and columns of `source`.
        """
        stop = self.source[0] if stop is None else stop
        low, high = self.needed(start, stop)
        _, rows, columns = self._window()
        result = maps[low - first : high - first, rows, columns]
        if self.source[0] != self.content[0]:
            before = self.before[0]
            shares = _matrix(self.content[0], self.source[0], antialias=False)[start:stop]
            result = np.tensordot(shares[:, low - before : high - before], result, axes=1)
        result = _along(result, -2, self.source[1], antialias=False)
        return _along(result, -1, self.source[2], antialias=False)

    def mask(self, mask: BoolArray) -> BoolArray:
        """Carry a mask (k, j, i) on the source to the nearest voxels of the canvas."""
        nearest = [
            np.minimum(((np.arange(want) + 0.5) * factor).astype(np.intp), have - 1)
            for have, want, factor in zip(self.source, self.content, self.factor, strict=True)
        ]
        canvas = np.zeros(self.canvas, dtype=np.bool_)
        canvas[self._window()] = mask[np.ix_(*nearest)]
        return canvas

    def grid(self, source: Grid) -> Grid:
        """Place the canvas, in the source's frame."""
        affine = source.affine.copy()
        for axis, (factor, before) in enumerate(zip(self.factor, self.before, strict=True)):
            shift = (0.5 - before) * factor - 0.5
            affine[:3, 3] += source.affine[:3, axis] * shift
            affine[:3, axis] *= factor
        return Grid(self.canvas, affine, source.patient_frame, source.spacing_known)

    def _window(self) -> tuple[slice, slice, slice]:
        k, j, i = (
            slice(before, before + size)
            for before, size in zip(self.before, self.content, strict=True)
        )
        return k, j, i


def same(grid: Grid) -> Sampling:
    """Leave the image as it is."""
    return Sampling(grid.shape, grid.shape, grid.shape)


def spaced(grid: Grid, spacing_mm: tuple[float, float, float]) -> Sampling:
    """Resample to the spacing nearest to `spacing_mm` (k, j, i) that keeps the field of view.

    Raises
    ------
    InputError
        If the spacing of the grid is not known.
    """
    if not grid.spacing_known:
        raise InputError("the model wants a spacing in mm; the image does not say its own")
    k, j, i = (
        max(1, round(size * have / want))
        for size, have, want in zip(grid.shape, grid.spacing_mm, spacing_mm, strict=True)
    )
    return Sampling(grid.shape, (k, j, i), (k, j, i))


def fitted(grid: Grid, size: tuple[int, int], *, keep_aspect: bool) -> Sampling:
    """Resample every slice to `size` (rows, columns); with `keep_aspect`, centred in it."""
    slices, rows, columns = grid.shape
    content = size
    if keep_aspect:
        scale = min(size[0] / rows, size[1] / columns)
        content = max(1, round(rows * scale)), max(1, round(columns * scale))
    return Sampling(grid.shape, (slices, *content), (slices, *size))


def _mixed(planes: Iterable[FloatArray], have: int, want: int) -> Iterator[FloatArray]:
    """Resample the axis k, blurred where it shrinks, while its slices come; few are held."""
    if have == want:
        yield from planes
        return
    matrix, coming = _sparse(have, want, antialias=True), iter(planes)
    held: deque[FloatArray] = deque()
    first = 0
    for start, stop in pairwise(matrix.indptr.tolist()):
        used, shares = matrix.indices[start:stop].tolist(), matrix.data[start:stop]
        while first + len(held) <= used[-1]:
            held.append(next(coming))
        while first < used[0]:
            held.popleft()
            first += 1
        mixed = held[used[0] - first] * shares[0]
        for k, share in zip(used[1:], shares[1:], strict=True):
            mixed += held[k - first] * share
        yield mixed


def _along(array: FloatArray, axis: int, size: int, *, antialias: bool) -> FloatArray:
    """Resample the rows or columns (axis -2 or -1) of an array (k, j, i)."""
    have = array.shape[axis]
    if have == size:
        return array
    if axis == -1:
        return _columns(array, size, antialias=antialias)
    matrix = _sparse(have, size, antialias=antialias)
    slices, _, columns = array.shape
    resampled = np.empty((slices, size, columns), dtype=np.float32)
    for k, image in enumerate(array):
        resampled[k] = matrix @ image
    return resampled


def _columns(array: FloatArray, size: int, *, antialias: bool) -> FloatArray:
    """Resample the axis i, a block of columns after the other from the few they depend on."""
    have = array.shape[-1]
    matrix = _matrix(have, size, antialias=antialias)
    resampled = np.empty((*array.shape[:-1], size), dtype=np.float32)
    for image, result in zip(array, resampled, strict=True):
        # BLAS does not take the backward strides of a flipped axis.
        lines = np.ascontiguousarray(image)
        for first in range(0, size, COLUMNS_AT_ONCE):
            shares = matrix[first : first + COLUMNS_AT_ONCE]
            used = np.flatnonzero(shares.any(axis=0))
            seen = slice(int(used[0]), int(used[-1]) + 1)
            block = result[:, first : first + len(shares)]
            np.matmul(lines[:, seen], shares[:, seen].T, out=block)
    return resampled


@lru_cache(maxsize=16)
def _sparse(have: int, want: int, *, antialias: bool) -> Any:
    """The few weights of `_matrix` that are not 0, as SciPy's sparse array."""
    return sparse.csr_array(_matrix(have, want, antialias=antialias))


@lru_cache(maxsize=16)
def _matrix(have: int, want: int, *, antialias: bool) -> FloatArray:
    """Weights (want, have), float32, rows sum to one: blur where shrinking, then sample."""
    factor = have / want
    position = np.clip((np.arange(want) + 0.5) * factor - 0.5, 0, have - 1)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, have - 1)
    share = position - below
    kernel = _gaussian((factor - 1) / 2) if antialias and factor > 1 else np.ones(1)
    radius = len(kernel) // 2
    matrix = np.zeros((want, have))
    rows = np.arange(want)
    for offset, weight in enumerate(kernel, start=-radius):
        np.add.at(matrix, (rows, np.clip(below + offset, 0, have - 1)), weight * (1 - share))
        np.add.at(matrix, (rows, np.clip(above + offset, 0, have - 1)), weight * share)
    weights: FloatArray = matrix.astype(np.float32)
    weights.setflags(write=False)
    return weights


def _gaussian(sigma: float) -> Array:
    """Sum-one kernel, the same as scipy.ndimage.gaussian_filter1d with truncate 4."""
    radius = int(4.0 * sigma + 0.5)
    kernel: Array = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return kernel


__all__ = ["Sampling", "Shape", "fitted", "same", "spaced"]
