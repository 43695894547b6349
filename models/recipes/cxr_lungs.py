"""Train, measure and export `cxr-lungs`: right and left lung on frontal chest radiographs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import manifests
import numpy as np
import torch
from augment_cxr import Geometry, augment
from data_cxr import FRONTAL, LEFT, RIGHT, Radiograph, read_image, read_lungs, read_radiographs
from evaluate import Runner, radiograph_volume
from export import write_package
from figures import overlay, save_row
from metrics import dice, estimate_mean
from networks import UNet
from phantoms import chest_radiograph
from preprocess import letterbox, normalize_percentile, resample
from training import segmentation_loss, train

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

logger = logging.getLogger(__name__)

SEED = 7
SIZE = (256, 256)
CACHE = (352, 352)
"""Training pictures are kept larger than the network's input, so that zooming in is sharp."""
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
        images[index, 0], window = letterbox(normalize_percentile(image), CACHE)
        images[index, 1][window] = 1.0
        inner = labels[index][window].shape
        shares = [resample((lungs == v).astype(np.float32), inner) for v in (RIGHT, LEFT)]
        small = np.where(np.max(shares, axis=0) > 0.5, np.argmax(shares, axis=0) + 1, 0)
        labels[index][window] = small
    return torch.from_numpy(images), torch.from_numpy(labels)


def fit(radiographs: list[Radiograph], *, steps: int) -> torch.nn.Module:
    """Train on frontal chest radiographs alone, with a fixed seed."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    images, labels = cache(radiographs)
    logger.info("training on %d radiographs", len(images))

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        return augment(rng, images[chosen], labels[chosen], size=SIZE, geometry=Geometry())

    return train(build(), draw, segmentation_loss, steps=steps, rate=3e-3)


@dataclass(frozen=True, slots=True)
class Case:
    """One measured radiograph.

    Attributes
    ----------
    radiograph
        Which one.
    image
        Grey values, 0 to 255.
    truth, found
        Label maps.
    dice
        Overlap of both lungs taken together.
    sides
        Overlap of the right and of the left lung.
    """

    radiograph: Radiograph
    image: NDArray[np.float32]
    truth: NDArray[np.uint8]
    found: NDArray[np.uint8]
    dice: float
    sides: tuple[float, float]


def measure(runner: Runner, radiographs: list[Radiograph]) -> list[Case]:
    """Run the exported package on radiographs with masks."""
    cases = []
    for radiograph in radiographs:
        image = read_image(radiograph)
        truth = read_lungs(radiograph, image.shape)
        found = runner.segment(radiograph_volume(image))[0]
        right, left = (dice(found == value, truth == value) for value in (RIGHT, LEFT))
        overlap = dice(found > 0, truth > 0)
        cases.append(Case(radiograph, image, truth, found, overlap, (right, left)))
    return cases


def report(name: str, cases: list[Case]) -> None:
    """Log the overlap of a group of cases."""
    if not cases:
        return
    patients = [case.radiograph.patient for case in cases]
    logger.info("%s: both %s", name, estimate_mean([case.dice for case in cases], patients))
    for side, lung in enumerate(("right", "left")):
        values = [case.sides[side] for case in cases]
        logger.info("%s: %s %s", name, lung, estimate_mean(values, patients))
    low = sum(case.dice < 0.85 for case in cases)
    logger.info("%s: %d of %d below 0.85", name, low, len(cases))


def picture(case: Case) -> NDArray[np.uint8]:
    """Overlay of a case; the truth is outlined in green."""
    shape = tuple(round(count * 512 / max(case.image.shape)) for count in case.image.shape)
    rows, columns = (
        np.minimum(((np.arange(want) + 0.5) * have / want).astype(int), have - 1)
        for want, have in zip(shape, case.image.shape, strict=True)
    )
    chosen = np.ix_(rows, columns)
    grey = normalize_percentile(case.image)[chosen]
    return overlay(grey, case.found[chosen], case.truth[chosen])


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
        network: torch.nn.Module = build()
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        network = fit(training, steps=steps)
        if weights is not None:
            torch.save(network.state_dict(), weights)
    phantoms = [partial(chest_radiograph, SIZE, seed=seed) for seed in (1, 2)]
    write_package(out, network, manifests.cxr_lungs(SIZE), (1, *SIZE), phantoms)

    runner = Runner(out)
    own = measure(runner, [r for r in labelled if r.permissive and r.held_out()])
    report("held-out patients", own)
    trained = {r.patient for r in training}
    foreign = [r for r in labelled if r.non_commercial and r.patient not in trained]
    others = measure(runner, foreign)
    report("other hospitals", others)
    for view in sorted(FRONTAL):
        report(f"other hospitals, {view}", [c for c in others if c.radiograph.view == view])
    for sex in ("F", "M"):
        report(f"other hospitals, {sex}", [c for c in others if c.radiograph.sex == sex])
    for low, high in ((0, 18), (18, 60), (60, 120)):
        group = [c for c in others if low <= (c.radiograph.age or -1) < high]
        report(f"other hospitals, age {low} to {high}", group)
    ranked = sorted(own, key=lambda case: case.dice)
    save_row(out / "figures" / "worst.png", [picture(case) for case in ranked[:4]])
    middle = len(ranked) // 2
    save_row(
        out / "figures" / "typical.png", [picture(case) for case in ranked[middle - 2 : middle + 2]]
    )
    for case in [*ranked[:4], *ranked[middle - 2 : middle + 2]]:
        logger.info("%s %.3f %s", case.radiograph.path.name, case.dice, case.radiograph.source)


if __name__ == "__main__":
    main()
