"""Sweeping a volume window by window: the reference all backends are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from engines.api import Slab, WindowPlan
from engines.errors import InferenceError
from engines.types import FloatArray

SIGMA_SCALE = 0.125
"""Standard deviation of the Gaussian weight, in window sizes (as MONAI and nnU-Net)."""

FLOOR = 1e-3
"""Least weight per axis: a voxel that only a corner covers must not divide zero by zero."""

SLAB_VALUES = 1 << 20
"""Values of one slab at most, where a slice has fewer: 4 MiB."""

PART_SLICES = 16
"""Slices of a window that are weighted at once: they stay in the cache until they are added."""

Corner = tuple[int, int, int]


def positions(size: int, patch: int, overlap: float) -> list[int]:
    """Place windows along one axis so that they cover it; the last lies flush at the end.

    Parameters
    ----------
    size
        Voxels of the axis, at least `patch`.
    patch
        Voxels of a window.
    overlap
        Share of a window that its neighbour covers again, 0 ≤ overlap < 1.

    Returns
    -------
    list of int
        First voxel of each window, increasing.
    """
    step = max(1, int(patch * (1 - overlap)))
    return [*range(0, size - patch, step), size - patch]


def weights(patch: int, blend: str) -> FloatArray:
    """Weight of a window along one axis, float32, greater than 0 and at most 1.

    The weight of a window is the outer product of its three axes.
    """
    if blend == "constant":
        return np.ones(patch, dtype=np.float32)
    distance = (np.arange(patch) - (patch - 1) / 2) / (SIGMA_SCALE * patch)
    bell: FloatArray = np.maximum(np.exp(-0.5 * distance**2), FLOOR).astype(np.float32)
    return bell


def sweep(
    run: Callable[[FloatArray], FloatArray], volume: FloatArray, plan: WindowPlan
) -> Iterator[Slab]:
    """Run a network over a whole volume and blend its windows.

    Windows are run one row of them after the other along k. The slices in front of the
    next row are then final, and leave; so no more slices are held than a window has.
    A volume smaller than the window is padded on both sides by the least value of
    each channel; the output is cut back to the volume.
    A window that `plan` skips is blended like the others, with the output of background:
    where a window that was run covers its voxels too, the blended output lies in between.
    A window outside the plan's region is left out; the slabs have no meaning there.

    Parameters
    ----------
    run
        The network: float32 (n, C, *patch) in, float32 (n, classes, *patch) out. The array
        it is given is used again for the next batch.
    volume
        float32, axes (C, k, j, i).
    plan
        How to sweep.

    Yields
    ------
    Slab
        float32, axes (classes, k, j, i), in the order of k; rows and columns of `volume`.

    Raises
    ------
    InferenceError
        If the network's output is not as large as its window.
    """
    padded, (_, inside_k, *inside_ji) = _padded(volume, plan.patch)
    plan = _moved(plan, (inside_k.start, *(part.start for part in inside_ji)))
    starts = [
        positions(size, patch, plan.overlap)
        for size, patch in zip(padded.shape[1:], plan.patch, strict=True)
    ]
    axes = [weights(patch, plan.blend) for patch in plan.patch]
    # The weights are outer products, so their sum over all windows is one as well.
    share_k, share_j, share_i = (
        np.reciprocal(cover(size, places, values))
        for size, places, values in zip(padded.shape[1:], starts, axes, strict=True)
    )
    share_ji = np.multiply.outer(share_j, share_i)[*inside_ji]

    row = _Row(run, padded, plan, np.einsum("k,j,i->kji", *axes))
    for start, end in pairwise([*starts[0], padded.shape[1]]):
        row.add([(start, j, i) for j in starts[1] for i in starts[2]])
        low, high = max(start, inside_k.start), min(end, inside_k.stop)
        thickness = max(1, SLAB_VALUES // row.total[:, 0].size)
        for first in range(low, high, thickness):
            last = min(first + thickness, high)
            values = row.total[(slice(None), slice(first - start, last - start), *inside_ji)]
            blended: FloatArray = values * share_k[first:last, np.newaxis, np.newaxis]
            blended *= share_ji
            yield Slab(first - inside_k.start, blended)
        row.shift(end - start)


def stitch(slabs: Iterable[Slab]) -> FloatArray:
    """Put the slabs of a sweep together: float32, axes (channel, k, j, i)."""
    return np.concatenate([slab.values for slab in slabs], axis=1)


class _Row:
    """The weighted sum of the windows that touch the slices from one start along k on.

    Parameters
    ----------
    run
        The network.
    volume
        float32, axes (C, k, j, i), nowhere smaller than a window.
    plan
        How to sweep.
    weight
        float32, of each voxel of a window.
    """

    def __init__(
        self,
        run: Callable[[FloatArray], FloatArray],
        volume: FloatArray,
        plan: WindowPlan,
        weight: FloatArray,
    ) -> None:
        self._run, self._volume, self._plan, self._weight = run, volume, plan, weight
        self._batch = np.empty((plan.batch, len(volume), *plan.patch), dtype=np.float32)
        self._weighted = np.empty((PART_SLICES, *plan.patch[1:]), dtype=np.float32)
        self._total: FloatArray | None = None

    @property
    def total(self) -> FloatArray:
        """float32, axes (classes, k, j, i), as many slices as a window has."""
        if self._total is None:
            raise InferenceError("the volume is empty")
        return self._total

    def add(self, corners: Sequence[Corner]) -> None:
        """Run the windows at `corners`, all of one k, and add what they give."""
        if self._plan.channels is not None:
            self._begin(self._plan.channels)
        wanted = [corner for corner in corners if not self._plan.leaves_out(corner)]
        if not wanted and self._total is None:
            # The network says how many classes there are, by one window too many.
            self._begin(len(self._outputs(corners[:1])[0]))
        corners = wanted
        empty = [corner for corner in corners if self._is_empty(corner)]
        full = [corner for corner in corners if corner not in empty] if empty else corners
        for first in range(0, len(full), self._plan.batch):
            self._add_outputs(full[first : first + self._plan.batch])
        if empty:
            # The network says how many classes there are, if need be by one window too many.
            classes = len(self._outputs(empty[:1])[0]) if self._total is None else len(self._total)
            first_class, others = self._plan.skipped
            for corner in empty:
                self._add(corner, [first_class] + [others] * (classes - 1))

    def shift(self, step: int) -> None:
        """Drop the first `step` slices and take in as many new ones."""
        kept = self.total.shape[1] - step
        for channel in self.total:
            channel[:kept] = channel[step:]
            channel[kept:] = 0

    def _add_outputs(self, corners: Sequence[Corner]) -> None:
        """Run one batch of windows and add it; its output is gone before the next is made."""
        for corner, part in zip(corners, self._outputs(corners), strict=True):
            self._add(corner, part)

    def _outputs(self, corners: Sequence[Corner]) -> FloatArray:
        """Run one batch of windows."""
        for place, corner in zip(self._batch, corners, strict=False):
            place[...] = self._volume[_window(corner, self._plan.patch)]
        output = self._run(self._batch[: len(corners)])
        if output.ndim != 5 or output.shape[2:] != self._plan.patch:
            raise InferenceError(
                f"a window of {self._plan.patch} voxels gave output {output.shape}"
            )
        return output

    def _add(self, corner: Corner, part: Sequence[float] | FloatArray) -> None:
        """Add one window, given as an array (classes, *patch) or as one number per class."""
        total = self._begin(len(part))
        if len(total) != len(part):
            raise InferenceError(f"the output has {len(part)} channels, not {len(total)}")
        _, _, rows, columns = _window(corner, self._plan.patch)
        for channel, values in zip(total, part, strict=True):
            window = np.broadcast_to(values, self._plan.patch)
            for first in range(0, len(window), PART_SLICES):
                slices = slice(first, first + PART_SLICES)
                weighted = self._weighted[: len(window) - first]
                np.multiply(window[slices], self._weight[slices], out=weighted)
                channel[slices, rows, columns] += weighted

    def _begin(self, classes: int) -> FloatArray:
        """Give the sum, made if this is the first time."""
        if self._total is None:
            size = (self._plan.patch[0], *self._volume.shape[2:])
            self._total = np.zeros((classes, *size), dtype=np.float32)
        return self._total

    def _is_empty(self, corner: Corner) -> bool:
        least = self._plan.skip_at_most
        if least is None:
            return False
        return bool(self._volume[_window(corner, self._plan.patch)].max() <= least)


def cover(size: int, starts: list[int], values: FloatArray) -> FloatArray:
    """Sum the weights of all windows at each voxel of one axis, float32 (size,)."""
    total = np.zeros(size, dtype=np.float32)
    for start in starts:
        total[start : start + len(values)] += values
    return total


def _padded(volume: FloatArray, patch: Corner) -> tuple[FloatArray, tuple[slice, ...]]:
    """Grow a volume (C, k, j, i) to at least `patch`; also where the volume lies in it."""
    missing = [max(0, want - have) for have, want in zip(volume.shape[1:], patch, strict=True)]
    inside = tuple(
        slice(lack // 2, lack // 2 + size)
        for lack, size in zip(missing, volume.shape[1:], strict=True)
    )
    if not any(missing):
        return volume, (slice(None), *inside)
    shape = [size + lack for size, lack in zip(volume.shape[1:], missing, strict=True)]
    padded = np.empty((volume.shape[0], *shape), dtype=np.float32)
    padded[:] = volume.min(axis=(1, 2, 3), keepdims=True)
    padded[(slice(None), *inside)] = volume
    return padded, (slice(None), *inside)


def _moved(plan: WindowPlan, by: Corner) -> WindowPlan:
    """Count the plan's region from the start of the padded volume."""
    if plan.region is None:
        return plan
    (k, j, i), (k_stop, j_stop, i_stop) = plan.region
    first = (k + by[0], j + by[1], i + by[2])
    return replace(plan, region=(first, (k_stop + by[0], j_stop + by[1], i_stop + by[2])))


def _window(corner: Corner, patch: Corner) -> tuple[slice, ...]:
    return (
        slice(None),
        *(slice(start, start + size) for start, size in zip(corner, patch, strict=True)),
    )


__all__ = [
    "FLOOR",
    "SIGMA_SCALE",
    "SLAB_VALUES",
    "cover",
    "positions",
    "stitch",
    "sweep",
    "weights",
]
