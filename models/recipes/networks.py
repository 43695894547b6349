"""The three networks: a 2D and a 3D U-Net from one class, and a small classifier."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def _block(ndim: int, inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Two 3-wide convolutions, each with batch normalisation and ReLU."""
    conv, norm = _CONV[ndim], _NORM[ndim]
    return nn.Sequential(
        conv(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(inplace=True),
        conv(outputs, outputs, 3, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """U-Net that works at half the input resolution and enlarges its last step twofold.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    classes
        Output channels, background included.
    widths
        Channels of each level; level ``n`` runs at ``1 / 2**(n + 1)`` of the input resolution.
    refine
        Channels of one more convolution at full resolution, which sees the image itself again;
        0 enlarges the logits instead.
    """

    def __init__(self, ndim: int, classes: int, widths: Sequence[int], refine: int = 0) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = _block(ndim, 1, widths[0], stride=2)
        self.down = nn.ModuleList(_block(ndim, low, high, stride=2) for low, high in pairs)
        self.up = nn.ModuleList(_block(ndim, high + low, low) for low, high in reversed(pairs))
        self.enlarge = nn.Upsample(scale_factor=2, mode=_LINEAR[ndim], align_corners=False)
        conv, norm = _CONV[ndim], _NORM[ndim]
        self.head = conv(widths[0], refine or classes, 1)
        self.refine = refine > 0
        if self.refine:
            self.last = nn.Sequential(
                conv(refine + 1, refine, 3, padding=1, bias=False),
                norm(refine),
                nn.ReLU(inplace=True),
                conv(refine, classes, 1),
            )

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, *spatial)`` of an image ``(N, 1, *spatial)``."""
        features = self.stem(image)
        skips = []
        for block in self.down:
            skips.append(features)
            features = block(features)
        for block in self.up:
            features = block(torch.cat([self.enlarge(features), skips.pop()], dim=1))
        enlarged = self.enlarge(self.head(features))
        if not self.refine:
            return enlarged
        return self.last(torch.cat([enlarged, image], dim=1))


class Classifier(nn.Module):
    """Plain convolutional classifier with global average pooling.

    Parameters
    ----------
    classes
        Output channels.
    widths
        Channels of each level; every level halves the resolution.
    """

    def __init__(self, classes: int, widths: Sequence[int] = (16, 32, 48, 64, 96)) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        self.body = nn.Sequential(
            *(_block(2, low, high, stride=2) for low, high in zip(inputs, widths, strict=True))
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(widths[-1], classes))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of an image ``(N, 1, rows, columns)``."""
        return self.head(self.body(image).mean(dim=(2, 3)))
