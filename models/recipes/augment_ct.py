"""Random patches of CT volumes, changed the way other scanners and other chests would change them.

Volumes are Hounsfield units with axes ``(z, y, x)`` towards head, back and left.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from data_ct import AIR_HU
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from data_ct import Scan

_EXCHANGE = torch.tensor([0, 2, 1])


def _draw(rng: torch.Generator, low: float, high: float) -> float:
    return float(torch.rand((), generator=rng)) * (high - low) + low


def _normal(rng: torch.Generator, scale: float) -> float:
    return float(torch.randn((), generator=rng)) * scale


def _smooth_field(rng: torch.Generator, size: tuple[int, ...], cells: int) -> Tensor:
    """Gaussian noise on a coarse grid, enlarged to ``size``; unit variance at the grid points."""
    coarse = torch.randn(1, 1, cells, cells, cells, generator=rng)
    return functional.interpolate(coarse, size=size, mode="trilinear", align_corners=True)[0, 0]


class Sampler:
    """Cuts random, randomly placed patches out of one scan.

    Parameters
    ----------
    scan
        Volume with labels at an isotropic spacing.
    patch
        Size of a patch in voxels, ``(z, y, x)``.
    spacing
        Isotropic spacing of the patch in mm.
    """

    def __init__(self, scan: Scan, patch: tuple[int, int, int], spacing: float) -> None:
        if scan.labels is None:
            message = f"{scan.name} has no labels"
            raise ValueError(message)
        volume = torch.from_numpy(scan.volume.copy())
        self.volume = (volume - AIR_HU).clamp(min=0)[None, None]
        self.labels = torch.from_numpy(scan.labels)[None, None].float()
        self.patch = patch
        self.extent_mm = [
            count * step for count, step in zip(volume.shape, scan.spacing, strict=True)
        ]
        self.spacing = spacing

    def draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw one patch.

        Returns
        -------
        volume
            Hounsfield units, shape ``patch``.
        labels
            int64, shape ``patch``.
        """
        grid, flipped = self._grid(rng)
        volume = functional.grid_sample(self.volume, grid, align_corners=False)[0, 0] + AIR_HU
        labels = functional.grid_sample(self.labels, grid, mode="nearest", align_corners=False)
        target = labels[0, 0].long()
        return volume, _EXCHANGE[target] if flipped else target

    def _grid(self, rng: torch.Generator) -> tuple[Tensor, bool]:
        turn = [math.radians(_normal(rng, sigma)) for sigma in (8.0, 5.0, 5.0)]
        rotation = torch.eye(3)
        for (first, second), angle in zip(((0, 1), (0, 2), (1, 2)), turn, strict=True):
            plane = torch.eye(3)
            plane[first, first] = plane[second, second] = math.cos(angle)
            plane[first, second], plane[second, first] = -math.sin(angle), math.sin(angle)
            rotation = rotation @ plane
        overall = math.exp(_draw(rng, math.log(0.7), math.log(1.3)))
        zoom = torch.tensor([overall * math.exp(_normal(rng, 0.08)) for _ in range(3)])
        flipped = _draw(rng, 0, 1) < 0.5
        if flipped:
            zoom[0] = -zoom[0]
        extent = torch.tensor(self.extent_mm[::-1])
        size = torch.tensor([count * self.spacing for count in self.patch[::-1]])
        matrix = (rotation * size[None]) / zoom[None] / extent[:, None]
        free = (1 - size / zoom.abs() / extent).abs() + 0.25
        centre = (torch.rand(3, generator=rng) * 2 - 1) * free
        theta = torch.cat([matrix, centre[:, None]], dim=1)[None]
        grid = functional.affine_grid(theta, [1, 1, *self.patch], align_corners=False)
        bend = torch.randn(1, 3, 5, 5, 5, generator=rng) * 0.025
        bend = functional.interpolate(bend, size=self.patch, mode="trilinear", align_corners=True)
        return grid + bend.permute(0, 2, 3, 4, 1), flipped


def change_chest(rng: torch.Generator, volume: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Change lung density, add consolidation (stays lung), effusion (no longer lung) and gas.

    Parameters
    ----------
    rng
        Source of chance.
    volume
        Hounsfield units, ``(z, y, x)``.
    labels
        int64, same shape.
    """
    size = tuple(volume.shape)
    lungs = (labels > 0).float()
    soft = functional.avg_pool3d(lungs[None, None], 3, 1, 1)[0, 0]
    volume = volume + soft * _draw(rng, -60, 180)
    if _draw(rng, 0, 1) < 0.4:
        dense = torch.sigmoid((_smooth_field(rng, size, 7) - _draw(rng, 0.2, 1.2)) * 8)
        level = _draw(rng, -500, 60) + 60 * _smooth_field(rng, size, 24)
        volume = torch.lerp(volume, torch.maximum(volume, level), dense * soft)
    if _draw(rng, 0, 1) < 0.15:
        y = torch.linspace(-1, 1, size[1])[None, :, None]
        x = torch.linspace(-1, 1, size[2])[None, None, :]
        side = x if _draw(rng, 0, 1) < 0.5 else -x
        fluid = (y + 0.3 * side > _draw(rng, 0.1, 0.6)) & (side > 0) & (soft > 0)
        volume = torch.where(fluid, 15 + 12 * torch.randn(size, generator=rng), volume)
        labels = torch.where(fluid, 0, labels)
    if _draw(rng, 0, 1) < 0.3:
        gas = _smooth_field(rng, size, 8) > _draw(rng, 1.2, 1.9)
        gas &= (volume > -200) & (soft == 0)
        volume = torch.where(gas, _draw(rng, -1010, -850), volume)
    return volume, labels


def change_scanner(rng: torch.Generator, volume: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Change contrast, noise and slice thickness, and cut the field of view.

    Parameters
    ----------
    rng
        Source of chance.
    volume
        Hounsfield units, ``(z, y, x)``.
    labels
        int64, same shape.
    """
    size = tuple(volume.shape)
    enhanced = (volume + 50).clamp(min=0) * (_draw(rng, 0.6, 1.6) - 1)
    volume = volume + enhanced + _normal(rng, 12)
    thick = int(torch.randint(1, 4, (), generator=rng))
    if thick > 1:
        coarse = functional.avg_pool3d(volume[None, None], (thick, 1, 1), ceil_mode=True)
        volume = functional.interpolate(coarse, size=size, mode="trilinear")[0, 0]
    if _draw(rng, 0, 1) < 0.3:
        volume = functional.avg_pool3d(volume[None, None], (1, 3, 3), 1, (0, 1, 1))[0, 0]
    volume = volume + torch.randn(size, generator=rng) * _draw(rng, 0, 70)
    if _draw(rng, 0, 1) < 0.35:
        axes = [torch.linspace(-1, 1, count) for count in size]
        low = [_draw(rng, -1.3, -0.3) for _ in size]
        high = [_draw(rng, 0.3, 1.3) for _ in size]
        inside = [(a > lo) & (a < hi) for a, lo, hi in zip(axes, low, high, strict=True)]
        keep = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
        volume = torch.where(keep, volume, AIR_HU)
        labels = torch.where(keep, labels, 0)
    return volume, labels
