"""From a package and its volumes to what a device has to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from engines.api import Box, DeviceJob
from engines.device.prepare import Stored
from engines.device.sweep import Recipe
from engines.errors import NotOnDevice
from engines.package import Package
from engines.tasks.crop import cut, foreground
from engines.tasks.image import (
    check,
    clean_slices,
    narrowed,
    route,
    valid_voxels,
    window_plan,
)
from engines.tasks.region import within
from engines.types import FloatArray, LabelArray, Volume

OF_THE_IMAGE = ("zscore",)
"""Normalisations of the device that take statistics, in which padding must not count."""


def device_job(package: Package, volumes: Sequence[Volume], region: Box | None = None) -> DeviceJob:
    """Say what a device has to do to label volumes as a package wants.

    Parameters
    ----------
    package
        Of task segment.
    volumes
        One per input channel, all on one grid.
    region
        Part of the source that counts; None: all of it.

    Raises
    ------
    NotOnDevice
        If a device cannot do it; the message says which part.
    InputError
        If the volumes do not fit the package.
    """
    plan = window_plan(package)
    if plan is None:
        raise NotOnDevice("only a sweep of windows is done on the device")
    if package.manifest.output.probabilities:
        raise NotOnDevice("the device keeps labels, no probabilities (output.probabilities)")
    check(package, volumes)
    box = foreground(package, volumes)
    manifest = package.manifest
    way = route(package, cut(volumes[0], box).grid)
    if region is not None:
        plan = narrowed(plan, way, within(region, box))
    recipe = Recipe(
        way.orientation,
        way.sampling,
        manifest.preprocess.normalize,
        plan,
        manifest.model.outputs[0].channels,
        manifest.postprocess.activation,
        label_names(package),
        manifest.infer.skip_empty,
        bool(manifest.postprocess.regions),
    )
    if (reason := recipe.unsupported()) is not None:
        raise NotOnDevice(reason)
    stored = [_stored(package, cut(volume, box)) for volume in volumes]
    return DeviceJob(stored, recipe, box, region)


def label_names(package: Package) -> LabelArray:
    """Map the number of an output channel to its label, 0 where the manifest has none.

    uint8 (256,); channel c is number c where channels compete, else c + 1.
    """
    names = np.zeros(256, dtype=np.uint8)
    values = [label.value for label in package.labels]
    names[values] = values
    if regions := package.manifest.postprocess.regions:
        names[1 : len(regions) + 1] = regions
    return names


def _stored(package: Package, volume: Volume) -> Stored:
    valid = valid_voxels(volume)
    if valid is not None:
        for step in package.manifest.preprocess.normalize:
            if step.kind in OF_THE_IMAGE:
                raise NotOnDevice(f"the image has padding, which {step.kind} must not count")
    if valid is None and volume.voxels.dtype == np.int16:
        return Stored(volume.voxels)
    small = np.empty(volume.voxels.shape, dtype=np.int16)
    if _fill_whole(small, clean_slices(volume.voxels, valid)):
        return Stored(small)
    if valid is None:
        return Stored(volume.voxels)
    return Stored(np.stack(tuple(clean_slices(volume.voxels, valid))))


def _fill_whole(small: npt.NDArray[np.int16], slices: Iterable[FloatArray]) -> bool:
    """Write voxels as int16, half the bytes to bring up; False where that changes one of them."""
    limits = np.iinfo(np.int16)
    for whole, plane in zip(small, slices, strict=True):
        if plane.min() < limits.min or plane.max() > limits.max:
            return False
        whole[...] = plane
        if not np.array_equal(whole, plane):
            return False
    return True


__all__ = ["OF_THE_IMAGE", "device_job", "label_names"]
