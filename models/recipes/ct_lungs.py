"""Train, measure and export `ct-lungs`: right and left lung on CT."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import manifests
import numpy as np
import torch
from augment_ct import Sampler, change_chest, change_scanner
from data_ct import CHESTS, LEFT, RIGHT, Scan, read_held_out, read_training, read_volumes
from evaluate import Runner, ct_volume
from export import write_package
from figures import overlay, save_row
from metrics import dice, estimate_mean
from networks import UNet
from phantoms import empty, part_of_chest_ct
from preprocess import normalize_window
from training import segmentation_loss, train

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

logger = logging.getLogger(__name__)

SEED = 11
PATCH = (64, 96, 96)
SPACING_MM = 3.0
WINDOW_HU = (-1000.0, 400.0)
BATCH = 3
STEPS = 500
WIDTHS = (16, 32, 64, 96)
OVERLAP = 0.25
REGIONS = {
    "whole": ((0, 1), (0, 1), (0, 1)),
    "upper half": ((0.5, 1), (0, 1), (0, 1)),
    "lower half": ((0, 0.5), (0, 1), (0, 1)),
    "right side": ((0, 1), (0, 1), (0, 0.55)),
    "left side": ((0, 1), (0, 1), (0.45, 1)),
    "close crop": ((0.2, 0.8), (0.2, 0.85), (0.12, 0.88)),
}
"""Parts of a volume, shares of z, y and x, that stand for small fields of view."""
LUNG_SHIFT = 0.3
"""Added to the logits of both lungs: volumes of the training scans then agree with their labels."""
LUNG_SHARE = 0.75
"""Share of the patches that come from chests; the rest is head and abdomen."""


def build() -> UNet:
    """The untrained network: background, right lung, left lung."""
    return UNet(3, 3, WIDTHS, refine=8)


def fit(scans: list[Scan], *, steps: int) -> torch.nn.Module:
    """Train on these scans with a fixed seed."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    chests = [
        Sampler(s, PATCH, SPACING_MM) for s in scans if s.labels is not None and s.labels.any()
    ]
    others = [
        Sampler(s, PATCH, SPACING_MM) for s in scans if s.labels is not None and not s.labels.any()
    ]
    logger.info("training on %d chests and %d other scans", len(chests), len(others))
    low, high = WINDOW_HU

    def draw_one() -> tuple[Tensor, Tensor]:
        pool = chests if float(torch.rand((), generator=rng)) < LUNG_SHARE else others
        volume, labels = pool[int(torch.randint(len(pool), (), generator=rng))].draw(rng)
        volume, labels = change_chest(rng, volume, labels)
        volume, labels = change_scanner(rng, volume, labels)
        return ((volume - low) / (high - low)).clamp(0, 1)[None], labels

    def draw() -> tuple[Tensor, Tensor]:
        volumes, labels = zip(*(draw_one() for _ in range(BATCH)), strict=True)
        return torch.stack(volumes), torch.stack(labels)

    return train(build(), draw, segmentation_loss, steps=steps, rate=3e-3)


def shift_lungs(network: torch.nn.Module, shift: float) -> None:
    """Add to the logits of both lungs, in the bias of the last convolution."""
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)][-1]
    if last.bias is None:
        message = "the last convolution has no bias"
        raise ValueError(message)
    with torch.no_grad():
        last.bias[1:] += shift


def measure(runner: Runner, scans: list[Scan], region: str = "whole") -> None:
    """Log the overlap of the exported package with masks drawn by others.

    Parameters
    ----------
    runner
        The package.
    scans
        With labels.
    region
        Part of each volume the package is given, a key of `REGIONS`.
    """
    both, right, left = [], [], []
    for scan in scans:
        part = tuple(
            slice(round(low * count), round(high * count))
            for (low, high), count in zip(REGIONS[region], scan.volume.shape, strict=True)
        )
        if scan.labels is None:
            continue
        truth = scan.labels[part]
        found = runner.segment(ct_volume(np.ascontiguousarray(scan.volume[part]), scan.spacing))
        both.append(dice(found > 0, truth > 0))
        right.append(dice(found == RIGHT, truth == RIGHT))
        left.append(dice(found == LEFT, truth == LEFT))
        logger.info("%s, %s: %.3f %.3f %.3f", scan.name, region, both[-1], right[-1], left[-1])
    names = [scan.name for scan in scans]
    for label, values in (("both", both), ("right", right), ("left", left)):
        logger.info("%s, %s: %s", region, label, estimate_mean(values, names))


def picture(scan: Scan, found: NDArray[np.uint8], axis: int, share: float) -> NDArray[np.uint8]:
    """Overlay of one axial (axis 0) or coronal (axis 1) plane, head up, in square pixels."""
    index = round(share * (scan.volume.shape[axis] - 1))
    plane = normalize_window(scan.volume.take(index, axis), a_min=-1000, a_max=400)
    labels = found.take(index, axis)
    if axis == 1:
        repeat = max(1, round(scan.spacing[0] / scan.spacing[2]))
        plane, labels = (np.repeat(a[::-1], repeat, axis=0) for a in (plane, labels))
    return overlay(plane, labels)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Reuse or keep weights here.")
def main(data: Path, out: Path, steps: int, weights: Path | None) -> None:
    """Train on DATA and write the package to OUT."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if weights is not None and weights.is_file():
        network: torch.nn.Module = build()
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        network = fit(read_training(data), steps=steps)
        if weights is not None:
            torch.save(network.state_dict(), weights)
    shift_lungs(network, LUNG_SHIFT)
    phantoms = [partial(part_of_chest_ct, PATCH, seed=1), partial(empty, PATCH)]
    manifest = manifests.ct_lungs(PATCH, SPACING_MM, WINDOW_HU, OVERLAP)
    write_package(out, network, manifest, (1, *PATCH), phantoms, step=1 / 16)

    runner = Runner(out)
    held_out = read_held_out(data)
    for region in REGIONS:
        measure(runner, held_out, region)
    pictures = []
    for scan in read_volumes(data):
        start = time.perf_counter()
        found = runner.segment(ct_volume(scan.volume, scan.spacing))
        volume_ml = (found > 0).sum() * np.prod(scan.spacing) / 1000
        logger.info(
            "%s %s: %.0f ml in %.1f s",
            scan.name,
            scan.volume.shape,
            volume_ml,
            time.perf_counter() - start,
        )
        if scan.name in CHESTS:
            pictures += [picture(scan, found, axis, share) for axis, share in ((0, 0.5), (1, 0.5))]
    save_row(out / "figures" / "overlays.png", pictures, height=260, columns=2)


if __name__ == "__main__":
    main()
