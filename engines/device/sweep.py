"""A volume's whole way through a device: voxels up, labels down, nothing in between.

The reference is `engines.window.sweep` between `engines.tasks.image.prepare` and
`engines.tasks.segment`; the same windows, weights and tables are used, so labels differ
only where two channels all but tie. Memory is the volume, and channels × slab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy import int32, int64

from engines.api import WindowPlan
from engines.device.api import Buffer, DeviceApi, Stream
from engines.device.arena import Arena
from engines.device.blend import Blend, Way
from engines.device.prepare import Stored, minima, prepare
from engines.errors import InputError, NotOnDevice
from engines.grid import Orientation, Sampling
from engines.package.preprocess import NormalizeStep
from engines.types import BoolArray, LabelArray

PARTS = 256
"""Threads that walk one window for its greatest value."""

Corner = tuple[int, int, int]


class Network(Protocol):
    """A network that runs on the device's memory."""

    def enqueue(self, given: int, made: int, shape: tuple[int, ...], stream: Stream) -> None:
        """Queue one batch.

        Parameters
        ----------
        given
            Address of the input: float32, axes (n, C, k, j, i) of `shape`, C-contiguous.
        made
            Address of the output: float32 (n, channels, k, j, i), C-contiguous.
        shape
            Of the input; n is at most the plan's batch.
        stream
            Where to queue; nothing is waited for.

        Raises
        ------
        InferenceError
            If the network cannot be queued.
        """
        ...


@dataclass(frozen=True)
class Recipe:
    """What a package does with a volume, as far as the device does it.

    Parameters
    ----------
    orientation, sampling
        The way from the source to the network, as `engines.tasks.image.route` plans it.
    normalize
        Steps ``window``, ``zscore`` and ``ct_clip_zscore``; see `engines.package.preprocess`.
    window
        How to sweep.
    channels
        Of the network's output, 1 … 255.
    activation
        As in `engines.tasks.activation.activate`.
    names
        uint8 (256,): the label that each number of a channel stands for, 0 for none.
        Channel c is number c where channels compete, else c + 1; see
        `engines.tasks.segment`.
    skip_empty
        Whether windows that hold the least value of the network's input and nothing else are
        not run. What that value is only the device knows.
    painted
        Whether of the channels that exceed the threshold the last wins, and not the highest.
    """

    orientation: Orientation
    sampling: Sampling
    normalize: tuple[NormalizeStep, ...]
    window: WindowPlan
    channels: int
    activation: Literal["softmax", "sigmoid", "none"]
    names: LabelArray
    skip_empty: bool = False
    painted: bool = False

    def unsupported(self) -> str | None:
        """Say why the device cannot follow this recipe, or None."""
        for step in self.normalize:
            if step.kind not in ("window", "zscore", "ct_clip_zscore"):
                return f"normalisation by {step.kind} is not done on the device"
        if self.sampling.canvas != self.sampling.content:
            return "a canvas around the image is not made on the device"
        return None


def segment(
    api: DeviceApi, network: Network, volumes: Sequence[Stored], recipe: Recipe
) -> LabelArray:
    """Make a label map on the source's voxels.

    Parameters
    ----------
    api
        The device that holds the network.
    network
        Already loaded.
    volumes
        One for each channel, all of one shape (k, j, i).
    recipe
        What to do.

    Returns
    -------
    ndarray
        uint8, axes (k, j, i) of the source.

    Raises
    ------
    NotOnDevice
        If the device cannot follow the recipe, or has no kernels.
    InputError
        If the volumes do not fit the recipe.
    InferenceError
        If the network fails, or its output is not finite.
    OutOfMemory
        If the device has no room; everything is given back before.
    DeviceLost
        If the device's context broke.
    """
    if (reason := recipe.unsupported()) is not None:
        raise NotOnDevice(reason)
    shapes = [volume.voxels.shape for volume in volumes]
    expected = tuple(recipe.sampling.source[axis] for axis in np.argsort(recipe.orientation.axes))
    if not shapes or any(shape != expected for shape in shapes):
        raise InputError(f"the volumes have shapes {shapes}, expected {expected}")
    with Arena(api) as arena:
        way = Way(
            recipe.orientation, recipe.sampling, recipe.activation, recipe.names, recipe.painted
        )
        blend = Blend(arena, way, recipe.window, recipe.channels)
        tensor = prepare(arena, volumes, recipe.orientation, recipe.sampling, recipe.normalize)
        _Sweep(arena, network, recipe, len(volumes)).run(tensor, blend)
        return blend.labels(expected)


class _Sweep:
    """The windows of one volume: while the network has one batch, the next is gathered."""

    def __init__(self, arena: Arena, network: Network, recipe: Recipe, inputs: int) -> None:
        self._arena, self._network, self._plan = arena, network, recipe.window
        self._size, self._inputs = recipe.sampling.canvas, inputs
        self._skip_empty = recipe.skip_empty
        self._feed = arena.open_stream()
        self._voxels = int(np.prod(self._plan.patch))
        batch = self._plan.batch * self._voxels
        self._given = [arena.floats(batch, inputs) for _ in range(2)]
        self._made = arena.floats(batch, recipe.channels)

    def run(self, tensor: Buffer, blend: Blend) -> None:
        """Queue all windows; slices are labelled as soon as no window follows."""
        arena = self._arena
        corners = [corner for corner in blend.corners if not self._plan.leaves_out(corner)]
        padding = minima(arena, tensor, self._inputs, int(np.prod(self._size)))
        empty = self._empty(tensor, corners, padding)
        batches = list(self._batches(corners, empty))
        self._feed.wait_for(arena.stream)
        if batches:
            self._gather(tensor, padding, batches[0], self._given[0])
        number = 0
        for row, start in enumerate(blend.starts):
            for corner, skipped in zip(corners, empty, strict=True):
                if skipped and corner[0] == start:
                    blend.add_skipped(corner)
            while number < len(batches) and batches[number][0][0] == start:
                arena.stream.wait_for(self._feed)
                # What is queued up to here has read the other buffer.
                self._feed.wait_for(arena.stream)
                if number + 1 < len(batches):
                    self._gather(tensor, padding, batches[number + 1], self._given[1 - number % 2])
                self._infer(batches[number], self._given[number % 2], blend)
                number += 1
            blend.finish(row)

    def _infer(self, batch: list[Corner], given: Buffer, blend: Blend) -> None:
        shape = (len(batch), self._inputs, *self._plan.patch)
        self._network.enqueue(given.pointer, self._made.pointer, shape, self._arena.stream)
        for place, corner in enumerate(batch):
            blend.add(corner, self._made, place)

    def _gather(self, tensor: Buffer, padding: Buffer, batch: list[Corner], given: Buffer) -> None:
        count = self._voxels * self._inputs
        for place, corner in enumerate(batch):
            self._arena.launch(
                "gather", count, tensor, *map(int32, self._size), *map(int32, corner),
                *map(int32, self._plan.patch), padding, int64(count),
                np.uint64(given.pointer + 4 * count * place), stream=self._feed,
            )  # fmt: skip

    def _empty(self, tensor: Buffer, corners: list[Corner], minima: Buffer) -> BoolArray:
        """Find the windows that need not be run: one number for each comes down."""
        least = self._least(minima)
        if least is None or not corners:
            return np.zeros(len(corners), dtype=np.bool_)
        arena, count = self._arena, len(corners)
        partials, most = arena.floats(count, PARTS), arena.floats(count)
        arena.launch(
            "partial_maxima", count * PARTS, tensor, int32(self._inputs), *map(int32, self._size),
            arena.upload(np.array(corners, dtype=np.int32)), *map(int32, self._plan.patch),
            int32(PARTS), int64(count * PARTS), partials,
        )  # fmt: skip
        arena.launch("maxima", count, partials, int32(PARTS), int32(count), most)
        found = np.empty(count, dtype=np.float32)
        arena.api.copy_out(found, most, arena.stream)
        arena.stream.synchronize()
        return np.asarray(found <= np.float32(least))

    def _least(self, minima: Buffer) -> float | None:
        """Say what a window must exceed somewhere to be run; None where all are."""
        if not self._skip_empty:
            return self._plan.skip_at_most
        found = np.empty(self._inputs, dtype=np.float32)
        self._arena.api.copy_out(found, minima, self._arena.stream)
        self._arena.stream.synchronize()
        return float(found.min())

    def _batches(self, corners: list[Corner], empty: BoolArray) -> Iterator[list[Corner]]:
        """Group the windows that are run; a batch has windows of one row of slices only."""
        group: list[Corner] = []
        for corner, skipped in zip(corners, empty, strict=True):
            if skipped:
                continue
            if group and (len(group) == self._plan.batch or group[0][0] != corner[0]):
                yield group
                group = []
            group.append(corner)
        if group:
            yield group


__all__ = ["Network", "Recipe", "segment"]
