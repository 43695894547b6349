"""Random changes that a radiograph may meet on scanners the training data never saw.

Everything works on a batch of canvases at once: ``image`` is float32 ``(N, 1, rows, columns)``
from 0 to 1, bright means more attenuation; ``area`` is 1 where the canvas shows image and 0 in the
padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Geometry:
    """Strength of the random placement of a radiograph in its canvas.

    Attributes
    ----------
    rotation
        Standard deviation, degrees.
    scale
        Smallest and largest size relative to the original.
    shift
        Largest shift as a share of half the canvas.
    flip
        Whether left and right may be exchanged.
    """

    rotation: float = 8.0
    scale: tuple[float, float] = (0.55, 1.5)
    shift: float = 0.25
    flip: bool = True


def _uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=rng) * (high - low) + low


def _chance(rng: torch.Generator, share: float, count: int) -> Tensor:
    """Float mask ``(count, 1, 1, 1)``, 1 with the given probability."""
    return (torch.rand(count, 1, 1, 1, generator=rng) < share).float()


def random_grid(
    rng: torch.Generator, count: int, size: tuple[int, int], geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """Draw sampling grids for `torch.nn.functional.grid_sample`.

    Parameters
    ----------
    rng
        Source of chance.
    count
        Pictures in the batch.
    size
        Rows and columns of the canvas to fill.
    geometry
        Strength.

    Returns
    -------
    grid
        ``(count, rows, columns, 2)``, x before y, -1 to 1.
    flipped
        Bool ``(count,)``: where left and right were exchanged.
    """
    wide = (torch.rand(count, generator=rng) < 0.2).float() * 1.5 + 1.0
    angle = torch.randn(count, generator=rng) * math.radians(geometry.rotation) * wide
    low, high = (math.log(bound) for bound in geometry.scale)
    scale = torch.exp(_uniform(rng, low, high, count))
    stretch = torch.exp(torch.randn(count, generator=rng) * 0.1)
    shear = torch.randn(count, generator=rng) * 0.06
    shift = _uniform(rng, -geometry.shift, geometry.shift, count, 2)
    flipped = (torch.rand(count, generator=rng) < 0.5) & torch.tensor(geometry.flip)
    sign = 1.0 - 2.0 * flipped.float()

    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = sign * cos / (scale * stretch)
    theta[:, 0, 1] = sign * (-sin + shear) / (scale * stretch)
    theta[:, 1, 0] = sin * stretch / scale
    theta[:, 1, 1] = cos * stretch / scale
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, 1, *size], align_corners=False)

    bend = torch.randn(count, 2, 5, 5, generator=rng) * 0.03
    bend = functional.interpolate(bend, size=size, mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1), flipped


def random_frame(rng: torch.Generator, count: int, size: tuple[int, int]) -> Tensor:
    """Draw the part of the canvas that shows image, as a centred rectangle of random proportions.

    Returns
    -------
    torch.Tensor
        1 inside and 0 in the padding, ``(count, 1, rows, columns)``.
    """
    aspect = torch.exp(torch.randn(count, generator=rng) * 0.18)
    half_rows = torch.clamp(1.0 / aspect, max=1.0)
    half_columns = torch.clamp(aspect, max=1.0)
    rows = torch.linspace(-1, 1, size[0]).abs()
    columns = torch.linspace(-1, 1, size[1]).abs()
    inside = (rows[None, :, None] <= half_rows[:, None, None]) & (
        columns[None, None, :] <= half_columns[:, None, None]
    )
    return inside[:, None].float()


def collimate(rng: torch.Generator, image: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Darken (seldom brighten) what lies outside a random, slightly turned rectangle.

    Returns
    -------
    image
        The batch with borders.
    open_field
        1 where the beam reached the detector.
    """
    count, _, rows, columns = image.shape
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij"
    )
    angle = torch.randn(count, 1, 1, generator=rng) * 0.05
    turned_x = x * torch.cos(angle) - y * torch.sin(angle)
    turned_y = x * torch.sin(angle) + y * torch.cos(angle)
    edges = [_uniform(rng, 0.55, 1.3, count, 1, 1) for _ in range(4)]
    inside = (turned_x > -edges[0]) & (turned_x < edges[1])
    inside &= (turned_y > -edges[2]) & (turned_y < edges[3])
    chosen = _chance(rng, 0.35, count)
    open_field = torch.maximum(inside[:, None].float(), 1.0 - chosen)
    border = (torch.rand(count, 1, 1, 1, generator=rng) < 0.15).float()
    border = border + _uniform(rng, -0.05, 0.1, count, 1, 1, 1)
    return torch.where(open_field * area > 0, image, border), open_field


def draw_objects(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw lines, electrodes and lettering as extra attenuation.

    Returns
    -------
    numpy.ndarray
        float32 of shape ``size``, mostly 0, up to 1.
    """
    rows, columns = size
    picture = Image.new("F", (columns, rows), 0.0)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 5)):
        start, end, middle = rng.uniform(-0.1, 1.1, (3, 2)) * (columns, rows)
        step = np.linspace(0, 1, 24)[:, None]
        curve = (1 - step) ** 2 * start + 2 * step * (1 - step) * middle + step**2 * end
        pen.line(
            [tuple(point) for point in curve],
            fill=float(rng.uniform(0.1, 0.7)),
            width=int(rng.integers(1, 4)),
        )
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(0, 1, 2) * (columns, rows)
        radius = rng.uniform(2, 8)
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=float(rng.uniform(0.2, 0.9))
        )
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0, 0.95, 2) * (columns, rows)
        text = "".join(rng.choice(list("LRPABSTEUCHKD0123456789 "), rng.integers(1, 9)))
        pen.text((x, y), text, fill=float(rng.uniform(0.6, 1.5)))
    if rng.random() < 0.15:
        x, y = rng.uniform(0.1, 0.9, 2) * (columns, rows)
        half = rng.uniform(6, 16, 2)
        pen.rectangle(
            (x - half[0], y - half[1], x + half[0], y + half[1]), fill=float(rng.uniform(0.4, 1.0))
        )
    return ndimage.gaussian_filter(np.asarray(picture, dtype=np.float32), rng.uniform(0.3, 0.8))


def opacify(rng: torch.Generator, image: Tensor, lungs: Tensor) -> Tensor:
    """Add smooth opacities inside the lungs: consolidation, effusion, atelectasis.

    Parameters
    ----------
    rng
        Source of chance.
    image
        The batch.
    lungs
        1 inside either lung, same shape.
    """
    count, _, rows, columns = image.shape
    field = torch.randn(count, 1, 4, 4, generator=rng)
    field = functional.interpolate(field, size=(rows, columns), mode="bicubic")
    dense = torch.sigmoid((field - _uniform(rng, 0.0, 1.2, count, 1, 1, 1)) * 5.0)
    soft = functional.avg_pool2d(lungs, 9, stride=1, padding=4)
    strength = _uniform(rng, 0.1, 0.9, count, 1, 1, 1) * _chance(rng, 0.45, count)
    return image + (0.85 - image).clamp(min=0) * dense * soft * strength


def recontrast(rng: torch.Generator, image: Tensor, area: Tensor) -> Tensor:
    """Change tone, local contrast, illumination, sharpness and noise.

    Returns
    -------
    torch.Tensor
        The batch, not yet normalised.
    """
    count, _, rows, columns = image.shape
    image = image.clamp(0.0, 1.5)
    gamma = torch.exp(torch.randn(count, 1, 1, 1, generator=rng) * 0.4)
    image = (image + 1e-4) ** gamma
    slope = _uniform(rng, 2.0, 7.0, count, 1, 1, 1)
    middle = _uniform(rng, 0.3, 0.7, count, 1, 1, 1)
    curved = torch.sigmoid((image - middle) * slope)
    image = torch.lerp(image, curved, _chance(rng, 0.3, count))

    coarse = functional.avg_pool2d(
        functional.avg_pool2d(image, 8), 5, 1, 2, count_include_pad=False
    )
    blurred = functional.interpolate(coarse, size=(rows, columns), mode="bilinear")
    equalise = _uniform(rng, -0.5, 0.8, count, 1, 1, 1) * _chance(rng, 0.5, count)
    image = image - equalise * (blurred - 0.5)

    light = torch.randn(count, 1, 3, 3, generator=rng) * 0.12
    image = image * (1 + functional.interpolate(light, size=(rows, columns), mode="bicubic"))

    soft = functional.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)
    image = torch.lerp(image, soft, _uniform(rng, -0.8, 1.0, count, 1, 1, 1))
    noise = torch.randn(image.shape, generator=rng)
    image = image + noise * _uniform(rng, 0.0, 0.05, count, 1, 1, 1)
    return image * area


def renormalize(image: Tensor, area: Tensor) -> Tensor:
    """Map the 1st and 99th percentile of the shown area to 0 and 1; the padding becomes 0."""
    result = torch.zeros_like(image)
    for index in range(image.shape[0]):
        inside = area[index, 0] > 0
        values = image[index, 0][inside]
        low, high = (float(value) for value in np.percentile(values[::7].numpy(), [1.0, 99.0]))
        scaled = (values - low) / max(high - low, 1e-6)
        result[index, 0][inside] = scaled.clamp(0.0, 1.0)
    return result


def augment(
    rng: torch.Generator,
    image: Tensor,
    labels: Tensor,
    *,
    size: tuple[int, int],
    geometry: Geometry,
) -> tuple[Tensor, Tensor]:
    """Make one random training batch.

    Parameters
    ----------
    rng
        Source of chance.
    image
        ``(N, 2, rows, columns)``: the letterboxed radiograph from 0 to 1 and its area.
    labels
        uint8 ``(N, rows, columns)``: 0, 1 = right lung, 2 = left lung. All 0 where unknown.
    size
        Rows and columns of the network's input.
    geometry
        Strength of the placement.

    Returns
    -------
    image
        ``(N, 1, *size)``, normalised as the engine would.
    labels
        int64 ``(N, *size)``.
    """
    count = image.shape[0]
    grid, flipped = random_grid(rng, count, size, geometry)
    moved = functional.grid_sample(image, grid, align_corners=False)
    target = functional.grid_sample(
        labels[:, None].float(), grid, mode="nearest", align_corners=False
    )[:, 0].long()
    exchanged = torch.tensor([0, 2, 1])[target]
    target = torch.where(flipped[:, None, None], exchanged, target)

    area = random_frame(rng, count, size)
    shown = (moved[:, 1:] > 0.5).float() * area
    picture = opacify(rng, moved[:, :1], (target[:, None] > 0).float())
    chance = np.random.default_rng(int(torch.randint(2**31, (1,), generator=rng)))
    objects = np.stack([draw_objects(chance, size) for _ in range(count)])[:, None]
    picture = picture + torch.from_numpy(objects) * _chance(rng, 0.6, count) * shown
    picture = recontrast(rng, picture, shown)
    picture, open_field = collimate(rng, picture, shown)
    visible = (open_field * shown)[:, 0] > 0
    return renormalize(picture, area), torch.where(visible, target, 0)
