"""An image to measure with where none is given."""

from __future__ import annotations

import numpy as np

from engines.package import Package
from engines.types import Array, FloatArray, Grid, Volume

AIR_HU, TISSUE_HU, LUNG_HU = -1000.0, 40.0, -850.0
BODY_MM = (600.0, 250.0, 350.0)
"""Extent of the elliptical trunk along (k, j, i), mm."""


def phantom(package: Package, shape: tuple[int, int, int]) -> tuple[Volume, ...]:
    """Make one image per input channel: an elliptical trunk with two air-filled lungs.

    Parameters
    ----------
    package
        Of a 2D package for whole images the phantom is a projection, else a volume of
        0.75 mm pixels and 1.25 mm slices.
    shape
        Slices, rows and columns.
    """
    one_image = package.manifest.model.ndim == 2 and package.manifest.infer.mode == "whole"
    spacing = np.array([1.25, 0.75, 0.75])
    affine = np.eye(4)
    # Slices run to the head (z), rows to the back (y), columns to the left (x).
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * spacing
    if one_image:
        affine = np.diag([1.0, 0.2, 0.2, 1.0])
    grid = Grid(shape, affine, patient_frame=not one_image)
    voxels = _trunk(shape, spacing)
    modality = "CR" if one_image else "CT"
    unit = "1" if one_image else "[hnsf'U]"
    channels = package.manifest.model.inputs[0].channels
    return tuple(Volume(voxels, grid, modality, unit) for _ in channels)


def _trunk(shape: tuple[int, int, int], spacing_mm: Array) -> FloatArray:
    centred = [
        ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32)
        for size, step in zip(shape, spacing_mm, strict=True)
    ]
    k, j, i = np.ix_(*centred)
    voxels = np.full(shape, AIR_HU, dtype=np.float32)
    inside = np.broadcast_to((j / (BODY_MM[1] / 2)) ** 2 + (i / (BODY_MM[2] / 2)) ** 2 < 1, shape)
    voxels[inside] = TISSUE_HU
    for side in (-1, 1):
        lung = (k / 130) ** 2 + (j / 75) ** 2 + ((i - side * 80) / 60) ** 2 < 1
        voxels[lung] = LUNG_HU
    rng = np.random.default_rng(0)
    voxels += rng.standard_normal(shape, dtype=np.float32) * 10
    return voxels


__all__ = ["phantom"]
