"""The slices of a volume that are being blended, and the labels of those that are done."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy import float32, int32, int64

from engines.api import WindowPlan
from engines.device import tables
from engines.device.api import Buffer
from engines.device.arena import Arena, pointer
from engines.errors import NotFinite
from engines.grid import Orientation, Sampling
from engines.types import FloatArray, LabelArray
from engines.window import cover, positions, weights

ACTIVATIONS = {"none": 0, "softmax": 1, "sigmoid": 2}
"""As the kernel ``activate`` counts them."""

THRESHOLD = np.nextafter(np.float32(0.5), np.float32(0))
"""A probability must exceed it where channels do not compete: 0.5 itself does."""

Corner = tuple[int, int, int]


@dataclass(frozen=True)
class Way:
    """The way back from the network's voxels to the labels of the source; see `Recipe`."""

    orientation: Orientation
    sampling: Sampling
    activation: str
    names: LabelArray
    painted: bool = False


class Blend:
    """Sums of weighted windows for as many slices as a window is thick, and one more.

    The one more is the last slice that is done: source voxels between it and the next are
    labelled when that is done too.

    Parameters
    ----------
    arena
        Memory and stream.
    way
        The way back.
    plan
        How the volume is swept.
    channels
        Of the network's output.
    """

    def __init__(self, arena: Arena, way: Way, plan: WindowPlan, channels: int) -> None:
        self._arena, self._way, self._plan, self._channels = arena, way, plan, channels
        self._size = size = way.sampling.canvas
        places = [_places(*axis, plan.overlap) for axis in zip(size, plan.patch, strict=True)]
        self.starts = places[0]
        self.corners: list[Corner] = [(k, j, i) for k, j, i in product(*places)]
        bells = [weights(patch, plan.blend) for patch in plan.patch]
        self._weights = [arena.upload(bell) for bell in bells]
        self._cover = [
            arena.upload(_cover(*axis)) for axis in zip(size, places, bells, strict=True)
        ]
        self._depth = min(plan.patch[0], size[0]) + 1
        self._plane = size[1] * size[2]
        self._sums = arena.zeros(4 * channels * self._depth * self._plane)
        self._broken = arena.zeros(4)
        self._tables = [
            tables.backward(have, want)
            for have, want in zip(way.sampling.content, way.sampling.source, strict=True)
        ]
        self._taps = [
            (arena.upload(table.first), arena.upload(table.weights), int32(table.taps))
            for table in self._tables
        ]
        self._names = arena.upload(way.names)
        self._labels = arena.zeros(int(np.prod(way.sampling.source)))
        self._skipped: Buffer | None = None
        self._base = self._done = self._labelled = 0

    def add(self, corner: Corner, made: Buffer, place: int) -> None:
        """Queue adding window number `place` of a batch, whose corner may lie outside."""
        count = self._channels * int(np.prod(self._plan.patch))
        self._arena.launch(
            "accumulate", count, pointer(made, 4 * count * place), *map(int32, self._plan.patch),
            *self._weights, int32(corner[0] - self._base), int32(corner[1]), int32(corner[2]),
            int32(self._depth), int32(self._size[1]), int32(self._size[2]), int64(count),
            self._sums, self._broken,
        )  # fmt: skip

    def add_skipped(self, corner: Corner) -> None:
        """Queue adding a window that was not run."""
        if self._skipped is None:
            count = self._channels * int(np.prod(self._plan.patch))
            self._skipped = self._arena.floats(count)
            first, others = self._plan.skipped
            values = np.full(self._channels, others, dtype=np.float32)
            values[0] = first
            self._arena.launch(
                "constant", count, self._arena.upload(values), *map(int32, self._plan.patch),
                int64(count), self._skipped,
            )  # fmt: skip
        self.add(corner, self._skipped, 0)

    def finish(self, row: int) -> None:
        """Queue labelling all that windows after row `row` of `starts` do not reach."""
        last = row + 1 == len(self.starts)
        until = self._size[0] if last else max(self.starts[row + 1], 0)
        self._activate(until)
        ready = int(np.searchsorted(self._tables[0].last, until, side="left"))
        self._label(ready)
        if not last:
            by, self._base = until - 1 - self._base, until - 1
            count = self._channels * self._plane
            self._arena.launch(
                "shift", count, self._sums, int32(self._depth), int64(self._plane), int32(by),
                int64(count),
            )  # fmt: skip

    def labels(self, shape: tuple[int, ...]) -> LabelArray:
        """Wait, and bring the labels down: uint8, axes (k, j, i) of the source.

        Raises
        ------
        NotFinite
            If the network's output was not finite.
        """
        labels, broken = np.empty(shape, dtype=np.uint8), np.empty(1, dtype=np.int32)
        self._arena.api.copy_out(labels, self._labels, self._arena.stream)
        self._arena.api.copy_out(broken, self._broken, self._arena.stream)
        self._arena.stream.synchronize()
        if broken[0]:
            raise NotFinite("the network's output is not finite")
        return labels

    def _activate(self, until: int) -> None:
        count = (until - self._done) * self._plane
        cover_k, cover_j, cover_i = self._cover
        self._arena.launch(
            "activate", count, self._sums, int32(self._channels), int32(self._depth),
            int32(self._size[1]), int32(self._size[2]), int32(self._done - self._base),
            pointer(cover_k, 4 * self._done), cover_j, cover_i,
            int32(ACTIVATIONS[self._way.activation]), int64(count),
        )  # fmt: skip
        self._done = until

    def _label(self, ready: int) -> None:
        source = self._way.sampling.source
        count = (ready - self._labelled) * source[1] * source[2]
        if not count:
            return
        competing = self._way.activation != "sigmoid" and self._channels > 1
        turned = [source[int(axis)] for axis in np.argsort(self._way.orientation.axes)]
        origin, step = tables.steps(self._way.orientation, (turned[0], turned[1], turned[2]))
        taps = [argument for axis in self._taps for argument in axis]
        self._arena.launch(
            "label", count, self._sums, int32(self._channels), int32(self._depth),
            int32(self._size[1]), int32(self._size[2]), int32(self._base), *taps,
            int32(self._labelled), int32(source[1]), int32(source[2]),
            self._least(competing), int32(not competing), int32(self._way.painted), self._names,
            int64(origin), *map(int64, step), int64(count), self._labels,
        )  # fmt: skip
        self._labelled = ready

    def _least(self, competing: bool) -> np.float32:
        """What a probability must exceed to be a label at all."""
        if self._way.painted:
            return float32(0.5)
        return float32(-np.inf) if competing else THRESHOLD


def _places(size: int, patch: int, overlap: float) -> list[int]:
    """First voxel of each window along one axis; negative where the volume is smaller."""
    before = max(0, patch - size) // 2
    return [start - before for start in positions(max(size, patch), patch, overlap)]


def _cover(size: int, starts: list[int], bell: FloatArray) -> FloatArray:
    """Sum the weights of all windows along one axis, which may begin before it."""
    before = max(0, -starts[0])
    inside = [start + before for start in starts]
    return cover(max(size, len(bell)), inside, bell)[before : before + size]


__all__ = ["ACTIVATIONS", "THRESHOLD", "Blend", "Way"]
