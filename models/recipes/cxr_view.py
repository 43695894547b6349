"""Train, measure and export `cxr-view`: frontal or lateral chest radiograph.

No lateral radiograph of the collection has a permissive licence. The laterals to train on are
therefore computed from chest CTs, and the real ones serve only to measure.
"""

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
from calibrate import expected_calibration_error, fit_temperature
from data_ct import CHESTS, read_training, read_volumes
from data_cxr import FRONTAL, LATERAL, read_image, read_radiographs
from drr import project
from evaluate import Runner, radiograph_volume
from export import write_package
from figures import save_row
from metrics import estimate_auc, estimate_mean
from networks import Classifier
from phantoms import chest_radiograph
from preprocess import letterbox, normalize_percentile
from torch.nn import functional
from training import train

if TYPE_CHECKING:
    from data_ct import Scan
    from data_cxr import Radiograph
    from numpy.typing import NDArray
    from torch import Tensor

logger = logging.getLogger(__name__)

SEED = 5
SIZE = (128, 128)
CACHE = (160, 160)
BATCH = 32
STEPS = 600
PROJECTIONS = 80
"""Computed radiographs of each view and chest."""
LATERAL_SHARE = 0.5
ABSTAIN = (0.5, 0.8)
"""No answer while the higher probability lies in this band."""
COMPUTED_SHARE = 0.5
"""Share of the frontal pictures that are computed too, so that being computed is no hint."""


def cache(images: list[NDArray[np.float32]]) -> Tensor:
    """Letterbox pictures for `augment`: ``(N, 2, *CACHE)``, picture and area."""
    tensors = np.zeros((len(images), 2, *CACHE), dtype=np.float32)
    for index, image in enumerate(images):
        tensors[index, 0], window = letterbox(normalize_percentile(image), CACHE)
        tensors[index, 1][window] = 1.0
    return torch.from_numpy(tensors)


def lend_texture(rng: torch.Generator, computed: Tensor, real: Tensor) -> Tensor:
    """Add the fine structure of real radiographs to computed ones.

    Parameters
    ----------
    rng
        Source of chance.
    computed, real
        ``(N, 2, rows, columns)``, pictures with their areas.
    """
    picture = real[:, :1]
    width = int(torch.randint(2, 8, (), generator=rng)) * 2 + 1
    smooth = functional.avg_pool2d(picture, width, 1, width // 2, count_include_pad=False)
    turned = torch.rot90(picture - smooth, int(torch.randint(4, (), generator=rng)), (2, 3))
    amount = torch.rand(len(computed), 1, 1, 1, generator=rng)
    return torch.cat([(computed[:, :1] + amount * turned).clamp(0, 1), computed[:, 1:]], dim=1)


def fit(radiographs: list[Radiograph], chests: list[Scan], *, steps: int) -> torch.nn.Module:
    """Train on real frontal and on computed frontal and lateral radiographs, seed fixed."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    real = cache([read_image(radiograph) for radiograph in radiographs])
    views = [
        cache([project(c, rng, lateral=lateral) for c in chests for _ in range(PROJECTIONS)])
        for lateral in (False, True)
    ]
    logger.info("%d real frontal, %d computed of each view", len(real), len(views[0]))
    geometry = Geometry(rotation=6.0, scale=(0.7, 1.5), shift=0.2)

    def pick(pool: Tensor) -> Tensor:
        return pool[torch.randint(len(pool), (BATCH,), generator=rng)]

    def draw() -> tuple[Tensor, Tensor]:
        lateral = torch.rand(BATCH, generator=rng) < LATERAL_SHARE
        computed = lateral | (torch.rand(BATCH, generator=rng) < COMPUTED_SHARE)
        made = torch.where(lateral[:, None, None, None], pick(views[1]), pick(views[0]))
        made = lend_texture(rng, made, pick(real))
        chosen = torch.where(computed[:, None, None, None], made, pick(real))
        nothing = torch.zeros(BATCH, *CACHE, dtype=torch.uint8)
        images, _ = augment(rng, chosen, nothing, size=SIZE, geometry=geometry)
        return images, lateral.long()

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=0.05)

    return train(Classifier(2), draw, loss, steps=steps, rate=3e-3, decay=5e-3)


@dataclass(frozen=True, slots=True)
class Group:
    """Measured radiographs.

    Attributes
    ----------
    radiographs
        Which.
    lateral
        Whether each is a lateral view.
    probability
        Calibrated probability of *lateral*.
    predicted
        Class chosen, None where the package abstains.
    """

    radiographs: list[Radiograph]
    lateral: NDArray[np.bool_]
    probability: NDArray[np.float64]
    predicted: list[str | None]


def measure(runner: Runner, radiographs: list[Radiograph]) -> Group:
    """Run the exported package on radiographs of known view."""
    results = [runner.classify(radiograph_volume(read_image(r))) for r in radiographs]
    return Group(
        radiographs,
        np.array([r.view in LATERAL for r in radiographs]),
        np.array([result.scores[1].probability for result in results]),
        [result.predicted for result in results],
    )


def report(name: str, group: Group) -> None:
    """Log ranking, accuracy and abstentions of a group."""
    patients = [r.patient for r in group.radiographs]
    right = (group.probability >= 0.5) == group.lateral
    if group.lateral.any():
        logger.info("%s: AUC %s", name, estimate_auc(group.probability, group.lateral, patients))
    logger.info("%s: accuracy at 0.5 %s", name, estimate_mean(right.astype(float), patients))
    for lateral in (False, True):
        chosen = group.lateral == lateral
        if chosen.any():
            logger.info(
                "%s: lateral %s: %d of %d right", name, lateral, right[chosen].sum(), chosen.sum()
            )
    answered = np.array([p is not None for p in group.predicted])
    logger.info(
        "%s: %d of %d answered, %d of them right",
        name,
        answered.sum(),
        len(answered),
        right[answered].sum(),
    )
    sure = np.maximum(group.probability, 1 - group.probability)
    logger.info("%s: calibration error %.3f", name, expected_calibration_error(sure, right))
    for index in np.flatnonzero(~right):
        radiograph = group.radiographs[index]
        logger.info(
            "wrong: %s %s %.2f", radiograph.path.name, radiograph.view, group.probability[index]
        )


def draw_computed(data: Path, path: Path) -> None:
    """Save a computed frontal and lateral view of each chest."""
    rng = torch.Generator().manual_seed(SEED)
    chests = [scan.resampled(2.0) for scan in read_volumes(data) if scan.name in CHESTS]
    shadows = [project(chest, rng, lateral=view) for chest in chests for view in (False, True)]
    grey = [normalize_percentile(shadow) * 255 for shadow in shadows]
    save_row(path, [np.repeat(g[..., None], 3, axis=2).astype(np.uint8) for g in grey], columns=6)


def export(network: torch.nn.Module, out: Path, temperature: float) -> Runner:
    """Write the package and open it."""
    phantoms = [partial(chest_radiograph, SIZE, seed=seed) for seed in (1, 2)]
    manifest = manifests.cxr_view(SIZE, temperature, ABSTAIN)
    write_package(out, network, manifest, (1, *SIZE), phantoms)
    return Runner(out)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Reuse or keep weights here.")
def main(data: Path, out: Path, steps: int, weights: Path | None) -> None:
    """Train on DATA and write the package to OUT."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frontal = [r for r in read_radiographs(data) if r.view in FRONTAL and r.permissive]
    training = [r for r in frontal if not r.held_out()]
    if weights is not None and weights.is_file():
        network: torch.nn.Module = Classifier(2)
        network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        chests = [s for s in read_training(data) if s.labels is not None and s.labels.any()]
        network = fit(training, chests, steps=steps)
        if weights is not None:
            torch.save(network.state_dict(), weights)

    foreign = [
        r for r in read_radiographs(data) if r.non_commercial and r.view in FRONTAL | LATERAL
    ]
    tuning = [r for r in foreign if not r.held_out(0.6)]
    raw = measure(export(network, out, 1.0), tuning)
    margin = np.log(raw.probability + 1e-9) - np.log(1 - raw.probability + 1e-9)
    temperature = fit_temperature(np.stack([0 * margin, margin], axis=1), raw.lateral)
    logger.info("temperature %.3f from %d radiographs", temperature, len(tuning))
    runner = export(network, out, temperature)
    report("other hospitals", measure(runner, [r for r in foreign if r.held_out(0.6)]))
    report("held-out patients", measure(runner, [r for r in frontal if r.held_out()]))
    draw_computed(data, out / "figures" / "computed.png")


if __name__ == "__main__":
    main()
