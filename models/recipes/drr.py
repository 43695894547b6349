"""Radiographs computed from chest CTs: the only lateral views whose licence allows training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from data_ct import Scan
    from numpy.typing import NDArray

_LATERAL, _FRONTAL = 4, 3
"""Axis of the beam in ``(1, 1, z, y, x)``: along x and along y."""

_FIELD = (120, 120, 120)
"""Voxels of the turned volume that is projected."""


def project(scan: Scan, rng: torch.Generator, *, lateral: bool) -> NDArray[np.float32]:
    """Project a randomly turned and bent chest in parallel beams.

    Parameters
    ----------
    scan
        Hounsfield units, ``(z, y, x)``, isotropic.
    rng
        Source of chance for pose, body shape and tissue contrast.
    lateral
        Beam along x instead of along y.

    Returns
    -------
    numpy.ndarray
        Attenuation, ``(rows, columns)``: the head is at the top and, in the frontal view, the
        patient's left on the right; in the lateral view the front of the chest on the left.
    """
    spread = torch.randn(8, generator=rng)
    bone = 1.0 + 0.5 * float(torch.rand((), generator=rng))
    hounsfield = torch.from_numpy(scan.volume)
    attenuation = ((hounsfield + 1000.0) / 1000.0).clamp(min=0)
    attenuation = torch.where(hounsfield > 150, attenuation * bone, attenuation)

    angles = [
        math.radians(float(s) * sigma) for s, sigma in zip(spread[:3], (10, 5, 5), strict=True)
    ]
    rotation = torch.eye(3)
    for (first, second), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        plane = torch.eye(3)
        plane[first, first] = plane[second, second] = math.cos(angle)
        plane[first, second], plane[second, first] = -math.sin(angle), math.sin(angle)
        rotation = rotation @ plane
    extent = torch.tensor([float(count) for count in scan.volume.shape[::-1]])
    size = extent.max() * torch.exp(0.08 * spread[3:6])
    theta = torch.cat([rotation * size[None] / extent[:, None], torch.zeros(3, 1)], dim=1)
    grid = functional.affine_grid(theta[None], [1, 1, *_FIELD], align_corners=False)
    bend = torch.randn(1, 3, 5, 5, 5, generator=rng) * 0.04
    bend = functional.interpolate(bend, size=_FIELD, mode="trilinear", align_corners=True)
    turned = functional.grid_sample(
        attenuation[None, None], grid + bend.permute(0, 2, 3, 4, 1), align_corners=False
    )
    shadow = turned.mean(dim=_LATERAL if lateral else _FRONTAL)[0, 0].flip(0)
    return _trim(shadow).numpy()


def _trim(shadow: Tensor) -> Tensor:
    """Cut away rows above and below the volume, which saw no body."""
    rows = torch.nonzero(shadow.amax(dim=1) > 0.02)[:, 0]
    return shadow[int(rows[0]) : int(rows[-1]) + 1].contiguous()
