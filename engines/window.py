"""Sweeping a volume window by window: the reference all backends are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product

import numpy as np

from engines.api import WindowPlan
from engines.errors import InferenceError
from engines.types import FloatArray

SIGMA_SCALE = 0.125
"""Standard deviation of the Gaussian weight, in window sizes (as MONAI and nnU-Net)."""

FLOOR = 1e-3
"""Least weight per axis: a voxel that only a corner covers must not divide zero by zero."""

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
) -> FloatArray:
    """Run a network over a whole volume and blend its windows.

    A volume smaller than the window is padded on both sides by the least value of
    each channel; the output is cut back to the volume.

    Parameters
    ----------
    run
        The network: float32 (n, C, *patch) in, float32 (n, classes, *patch) out.
    volume
        float32, axes (C, k, j, i).
    plan
        How to sweep.

    Returns
    -------
    ndarray
        float32, axes (classes, k, j, i), shape of `volume`.

    Raises
    ------
    InferenceError
        If the network's output is not as large as its window.
    """
    padded, inside = _padded(volume, plan.patch)
    starts = [
        positions(size, patch, plan.overlap)
        for size, patch in zip(padded.shape[1:], plan.patch, strict=True)
    ]
    axes = [weights(patch, plan.blend) for patch in plan.patch]
    weight = np.einsum("k,j,i->kji", *axes)

    total: FloatArray | None = None
    for corners in _batches(product(*starts), plan.batch):
        windows = [_window(corner, plan.patch) for corner in corners]
        output = run(np.stack([padded[window] for window in windows]))
        if output.ndim != 5 or output.shape[2:] != plan.patch:
            raise InferenceError(f"a window of {plan.patch} voxels gave output {output.shape}")
        if total is None:
            total = np.zeros((output.shape[1], *padded.shape[1:]), dtype=np.float32)
        for window, part in zip(windows, output, strict=True):
            total[window] += part * weight
    if total is None:
        raise InferenceError("the volume is empty")

    # The weights are outer products, so their sum over all windows is one as well.
    for axis, (places, values) in enumerate(zip(starts, axes, strict=True)):
        cover = _cover(padded.shape[1 + axis], places, values)
        total /= cover.reshape([-1 if other == axis else 1 for other in range(3)])
    return total[inside]


def _cover(size: int, starts: list[int], values: FloatArray) -> FloatArray:
    """Sum the weights of all windows along one axis."""
    cover = np.zeros(size, dtype=np.float32)
    for start in starts:
        cover[start : start + len(values)] += values
    return cover


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


def _window(corner: Corner, patch: Corner) -> tuple[slice, ...]:
    return (
        slice(None),
        *(slice(start, start + size) for start, size in zip(corner, patch, strict=True)),
    )


def _batches(corners: Iterator[tuple[int, ...]], size: int) -> Iterator[list[Corner]]:
    triples = ((corner[0], corner[1], corner[2]) for corner in corners)
    while batch := list(islice(triples, size)):
        yield batch


__all__ = ["FLOOR", "SIGMA_SCALE", "positions", "sweep", "weights"]
