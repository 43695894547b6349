"""Train, measure and export `cxr-lungs`: right and left lung on frontal chest radiographs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from augment_cxr import Geometry, augment
from data_cxr import FRONTAL, LEFT, RIGHT, Radiograph, read_image, read_lungs, read_radiographs
from networks import UNet
from preprocess import letterbox, normalize_percentile, resample
from training import segmentation_loss, train

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

SEED = 7
SIZE = (256, 256)
CACHE = (352, 352)
"""Training pictures are kept a little larger than the network's input, so that zooming in is sharp."""
BATCH = 12
STEPS = 1600
WIDTHS = (24, 48, 72, 96, 128)


def build() -> UNet:
    """The untrained network: background, right lung, left lung."""
    return UNet(2, 3, WIDTHS)


def cache(radiographs: list[Radiograph]) -> tuple[Tensor, Tensor]:
    """Load radiographs with masks as tensors for `augment`.

    Returns
    -------
    images
        float32 ``(N, 2, *CACHE)``: the letterboxed radiograph and its area.
    labels
        uint8 ``(N, *CACHE)``.
    """
    images = np.zeros((len(radiographs), 2, *CACHE), dtype=np.float32)
    labels = np.zeros((len(radiographs), *CACHE), dtype=np.uint8)
    for index, radiograph in enumerate(radiographs):
        image = read_image(radiograph)
        lungs = read_lungs(radiograph, image.shape)
        images[index, 0], placement = letterbox(normalize_percentile(image), CACHE)
        images[index, 1][placement.window] = 1.0
        shares = [
            resample((lungs == value).astype(np.float32), placement.size, antialias=True)
            for value in (RIGHT, LEFT)
        ]
        small = np.where(np.max(shares, axis=0) > 0.5, np.argmax(shares, axis=0) + 1, 0)
        labels[index][placement.window] = small
    return torch.from_numpy(images), torch.from_numpy(labels)


def fit(radiographs: list[Radiograph], *, steps: int) -> torch.nn.Module:
    """Train on these radiographs with a fixed seed."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    images, labels = cache(radiographs)
    logger.info("training on %d radiographs", len(images))

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        return augment(rng, images[chosen], labels[chosen], size=SIZE, geometry=Geometry())

    return train(build(), draw, segmentation_loss, steps=steps, rate=3e-3)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Reuse or keep weights here.")
def main(data: Path, out: Path, steps: int, weights: Path | None) -> None:
    """Train on DATA and write the package to OUT."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    labelled = [
        radiograph
        for radiograph in read_radiographs(data)
        if radiograph.mask is not None and radiograph.view in FRONTAL
    ]
    training = [r for r in labelled if r.permissive and not r.held_out()]
    if weights is not None and weights.is_file():
        network = build()
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        network = fit(training, steps=steps)
        if weights is not None:
            torch.save(network.state_dict(), weights)


if __name__ == "__main__":
    main()
