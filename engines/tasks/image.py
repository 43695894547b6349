"""From volumes to a network's input: checked, turned, normalised and resampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from engines.api import Box, Prepared, WindowPlan
from engines.errors import InputError
from engines.grid import IDENTITY, Orientation, Sampling, fitted, same, spaced, towards_lps
from engines.package import Package
from engines.tasks.crop import cut, foreground
from engines.tasks.normalize import normalize
from engines.tasks.region import on_canvas, within
from engines.types import Array, BoolArray, FloatArray, Grid, Volume

POSITION_TOLERANCE_MM = 0.1
"""Corners of two channels this close together are on one grid."""

SURE = 20.0
"""Logit of background in a window that is not run; the others get its negative."""


@dataclass(frozen=True)
class Route:
    """The way from a source grid to the network's and back."""

    orientation: Orientation
    sampling: Sampling


def route(package: Package, grid: Grid) -> Route:
    """Plan the way of one source grid, cropped already; the same grid always gives the same way.

    Raises
    ------
    InputError
        If the package wants an orientation or a spacing that the grid does not have.
    """
    preprocess = package.manifest.preprocess
    orientation = towards_lps(grid) if preprocess.orientation == "LPS" else IDENTITY
    turned = orientation.grid(grid)
    if preprocess.spacing_mm:
        return Route(orientation, spaced(turned, preprocess.spacing_mm))
    if preprocess.resize:
        size, keep_aspect = preprocess.resize.size, preprocess.resize.keep_aspect
        return Route(orientation, fitted(turned, size, keep_aspect=keep_aspect))
    return Route(orientation, same(turned))


def prepare(package: Package, volumes: Sequence[Volume], region: Box | None = None) -> Prepared:
    """Make the network's input from one volume per channel.

    Parameters
    ----------
    package
        Says what happens, in its section ``preprocess``.
    volumes
        One per input channel, all on one grid.
    region
        Part of the source that counts; None: all of it.

    Returns
    -------
    Prepared
        Tensor float32, axes (channel, k, j, i), on the grid the network sees.

    Raises
    ------
    InputError
        If the volumes do not fit the package.
    """
    check(package, volumes)
    box = foreground(package, volumes)
    volumes = [cut(volume, box) for volume in volumes]
    source = volumes[0].grid
    way = route(package, source)
    tensor = np.empty((len(volumes), *way.sampling.canvas), dtype=np.float32)
    for channel, volume in zip(tensor, volumes, strict=True):
        _fill(channel, package, volume, way)
    grid = way.sampling.grid(way.orientation.grid(source))
    window = _window(package, tensor)
    if window is not None and region is not None:
        window = narrowed(window, way, within(region, box))
    return Prepared(tensor, grid, window, region)


def _fill(channel: FloatArray, package: Package, volume: Volume, way: Route) -> None:
    """Resample and normalise one volume into one channel of the network's input."""
    preprocess = package.manifest.preprocess
    valid = valid_voxels(volume)
    valid = None if valid is None else way.orientation.apply(valid)
    slices = clean_slices(way.orientation.apply(volume.voxels), valid)
    if package.manifest.model.ndim == 2:
        # A 2D model sees each slice for itself, so its statistics are the slice's own.
        own = iter(repeat(None) if valid is None else valid)
        slices = (normalize(image, next(own), preprocess.normalize) for image in slices)
        pad = preprocess.resize.pad if preprocess.resize else 0.0
        way.sampling.forward(slices, pad=pad, out=channel)
        return
    way.sampling.forward(slices, out=channel)
    valid = None if valid is None else way.sampling.mask(valid)
    normalize(channel, valid, preprocess.normalize, out=channel)


def valid_voxels(volume: Volume) -> BoolArray | None:
    """Say where the voxels are no padding; None if all are.

    Raises
    ------
    InputError
        If all is padding.
    """
    if volume.padding is None or not volume.padding.any():
        return None
    if volume.padding.all():
        raise InputError("every voxel of the image is padding")
    return ~volume.padding


def clean_slices(voxels: Array, valid: BoolArray | None) -> Iterator[FloatArray]:
    """Give the slices of an image (k, j, i) as float32, the least valid value where it is padding.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    least = np.float32(np.inf)
    for image, seen in zip(voxels, () if valid is None else valid, strict=valid is not None):
        values = np.asarray(image, dtype=np.float32)
        least = min(least, values.min(where=seen, initial=np.float32(np.inf)))
    for k, image in enumerate(voxels):
        clean = np.asarray(image, dtype=np.float32)
        if valid is not None:
            clean = np.where(valid[k], clean, least)
        if not np.isfinite(clean).all():
            raise InputError("the image has values that are not finite")
        yield clean


def window_plan(package: Package) -> WindowPlan | None:
    """Say how a package's volumes are swept, but for which windows are empty; None: whole."""
    infer = package.manifest.infer
    if infer.mode != "sliding_window" or infer.patch is None:
        return None
    overlap = 0.5 if infer.overlap is None else infer.overlap
    return WindowPlan(
        infer.patch,
        overlap,
        infer.blend or "gaussian",
        infer.batch,
        skipped=_background(package),
        channels=package.manifest.model.outputs[0].channels,
    )


def narrowed(plan: WindowPlan, way: Route, region: Box) -> WindowPlan:
    """Leave out the windows that have nothing of a region of the (cut) source."""
    return replace(plan, region=on_canvas(region, way.orientation, way.sampling))


def _window(package: Package, tensor: FloatArray) -> WindowPlan | None:
    plan = window_plan(package)
    if plan is None or not package.manifest.infer.skip_empty:
        return plan
    return replace(plan, skip_at_most=float(tensor.min()))


def _background(package: Package) -> tuple[float, float]:
    """Give what a network says of background: its first channel, and all others."""
    output = package.manifest.model.outputs[0]
    low, high = (0.0, 1.0) if output.kind == "probabilities" else (-SURE, SURE)
    # Sigmoid has no background channel, and neither has a single channel.
    has_channel = package.manifest.postprocess.activation != "sigmoid" and output.channels > 1
    return (high if has_channel else low), low


def check(package: Package, volumes: Sequence[Volume]) -> None:
    """Check that volumes are what a package takes, before anything is computed.

    Raises
    ------
    InputError
        If their number, shapes, spacing or places do not fit.
    """
    channels = package.manifest.model.inputs[0].channels
    if len(volumes) != len(channels):
        names = ", ".join(channel.name for channel in channels)
        raise InputError(f"the model takes {len(channels)} images ({names}), not {len(volumes)}")
    for volume in volumes:
        _check_volume(volume)
    first = volumes[0].grid
    one_image = package.manifest.model.ndim == 2 and package.manifest.infer.mode == "whole"
    if one_image and first.shape[0] != 1:
        raise InputError(f"the model takes one image, not {first.shape[0]} slices")
    for volume in volumes[1:]:
        if volume.grid.shape != first.shape or not _same_place(volume.grid, first):
            raise InputError("the images of a model with several channels must be on one grid")


def _check_volume(volume: Volume) -> None:
    shape = volume.grid.shape
    if min(shape) < 1:
        raise InputError(f"the image is empty: {shape}")
    if volume.voxels.shape != shape:
        raise InputError(f"the image has shape {volume.voxels.shape}, its grid {shape}")
    if volume.padding is not None and volume.padding.shape != shape:
        raise InputError(f"the padding has shape {volume.padding.shape}, the image {shape}")
    if not np.isfinite(volume.grid.affine).all() or min(volume.grid.spacing_mm) <= 0:
        raise InputError("the grid of the image has no positive, finite spacing")


def _same_place(grid: Grid, other: Grid) -> bool:
    corners = np.array(
        [[k, j, i, 1] for k in (0, 1) for j in (0, 1) for i in (0, 1)], dtype=np.float64
    )
    corners[:, :3] *= np.array(grid.shape) - 1
    apart = corners @ (grid.affine - other.affine).T
    return bool(np.abs(apart).max() <= POSITION_TOLERANCE_MM)


__all__ = [
    "POSITION_TOLERANCE_MM",
    "SURE",
    "Route",
    "check",
    "clean_slices",
    "narrowed",
    "prepare",
    "route",
    "valid_voxels",
    "window_plan",
]
