"""From stored voxels on the host to the network's input on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import float32, int32, int64

from engines.device import tables
from engines.device.api import Buffer
from engines.device.arena import Arena, pointer
from engines.errors import InputError, NotOnDevice
from engines.grid import Orientation, Sampling
from engines.package.preprocess import CtZScoreStep, NormalizeStep, WindowStep, ZScoreStep
from engines.types import VoxelArray

PARTS = 8192
"""Threads that walk a volume for its mean or minimum: enough to keep a GPU busy."""


@dataclass(frozen=True)
class Stored:
    """One channel of a volume as it is stored.

    Parameters
    ----------
    voxels
        int16 or float32, axes (k, j, i) of the source, finite. Padding already holds the
        least valid value.
    slope, intercept
        The modality transformation: ``voxels * slope + intercept`` is in the unit of the
        package's normalisation.
    """

    voxels: VoxelArray
    slope: float = 1.0
    intercept: float = 0.0


def prepare(
    arena: Arena,
    volumes: Sequence[Stored],
    orientation: Orientation,
    sampling: Sampling,
    steps: Sequence[NormalizeStep],
) -> Buffer:
    """Queue turning, resampling and normalising.

    Parameters
    ----------
    arena
        Memory and stream.
    volumes
        One for each channel, all of one shape.
    orientation, sampling
        The way from the source to the network, as `engines.tasks.image.route` plans it.
    steps
        The package's normalisation, for each channel by itself.

    Returns
    -------
    Buffer
        float32, axes (channel, k, j, i) of the sampling's canvas.

    Raises
    ------
    InputError
        If a voxel type is none that the device knows.
    NotOnDevice
        If a step is none that the device knows.
    """
    voxels = int(np.prod(sampling.canvas))
    tensor = arena.floats(len(volumes), voxels) if len(volumes) > 1 else None
    for number, volume in enumerate(volumes):
        channel = _resampled(arena, volume, orientation, sampling)
        for step in steps:
            _normalise(arena, channel, voxels, step)
        if tensor is None:
            return channel
        # Only a kernel writes into the middle of a buffer: a turn that changes nothing.
        arena.launch(
            "orient_float32", voxels, channel, float32(1), float32(0), int64(0), int64(voxels),
            int64(voxels), int64(1), int32(1), int32(voxels), int64(voxels),
            pointer(tensor, 4 * voxels * number),
        )  # fmt: skip
        arena.free(channel)
    if tensor is None:
        raise InputError("there is no volume")
    return tensor


def minima(arena: Arena, tensor: Buffer, channels: int, voxels: int) -> Buffer:
    """Queue finding the least value of each channel: float32 (channel,)."""
    partials, least = arena.floats(PARTS), arena.floats(channels)
    for number in range(channels):
        values = pointer(tensor, 4 * voxels * number)
        arena.launch("partial_minima", PARTS, values, int32(PARTS), int64(voxels), partials)
        arena.launch("minimum", 1, partials, int32(PARTS), pointer(least, 4 * number))
    return least


def _resampled(
    arena: Arena, volume: Stored, orientation: Orientation, sampling: Sampling
) -> Buffer:
    if volume.voxels.dtype not in (np.int16, np.float32):
        raise InputError(f"the device takes int16 or float32 voxels, not {volume.voxels.dtype}")
    shape = list(sampling.source)
    count = int(np.prod(shape))
    source = volume.voxels.shape
    origin, step = tables.steps(orientation, (source[0], source[1], source[2]))
    stored, turned = arena.upload(volume.voxels), arena.floats(count)
    arena.launch(
        f"orient_{volume.voxels.dtype.name}", count, stored, float32(volume.slope),
        float32(volume.intercept), int64(origin), *map(int64, step), int32(shape[1]),
        int32(shape[2]), int64(count), turned,
    )  # fmt: skip
    arena.free(stored)
    # Those that shrink most first, as the reference does: the rest has less to do.
    for axis in map(int, np.argsort([-factor for factor in sampling.factor], kind="stable")):
        have, want = shape[axis], sampling.content[axis]
        if have == want:
            continue
        table = tables.forward(have, want)
        shape[axis] = want
        count, inner = int(np.prod(shape)), int(np.prod(shape[axis + 1 :]))
        first, weights = arena.upload(table.first), arena.upload(table.weights)
        resampled = arena.floats(count)
        arena.launch(
            "resample", count, turned, first, weights, int32(table.taps), int32(have),
            int32(want), int64(inner), int64(count), resampled,
        )  # fmt: skip
        arena.free(turned)
        turned = resampled
    return turned


def _normalise(arena: Arena, channel: Buffer, voxels: int, step: NormalizeStep) -> None:
    if isinstance(step, ZScoreStep):
        partials, mean, variance = arena.bytes(8 * PARTS), arena.bytes(8), arena.bytes(8)
        for squares, result in enumerate((mean, variance)):
            arena.launch(
                "partial_sums", PARTS, channel, mean, int32(squares), int32(PARTS),
                int64(voxels), partials,
            )  # fmt: skip
            arena.launch("mean_of_sums", 1, partials, int32(PARTS), int64(voxels), result)
        arena.launch("zscore", voxels, channel, mean, variance, int64(voxels))
    elif isinstance(step, WindowStep):
        width = step.a_max - step.a_min
        scale = (step.b_max - step.b_min) / width if width > 0 else 0.0
        arena.launch(
            "rescale", voxels, channel, float32(step.a_min), float32(scale), float32(step.b_min),
            int32(step.clip), float32(step.b_min), float32(step.b_max), int64(voxels),
        )  # fmt: skip
    elif isinstance(step, CtZScoreStep):
        centre, factor = float32(step.mean), float32(1 / step.std)
        lower, upper = (
            float32((float32(end) - centre) * factor) for end in (step.lower, step.upper)
        )
        arena.launch(
            "rescale", voxels, channel, centre, factor, float32(0), int32(1), lower, upper,
            int64(voxels),
        )  # fmt: skip
    else:
        raise NotOnDevice(f"normalisation by {step.kind} is not done on the device")


__all__ = ["PARTS", "Stored", "minima", "prepare"]
