"""The shipped packages on a GPU: built, run through the pool, and compared with the processor.

Skipped where there is no GPU, TensorRT or driver, with the reason. Run it after `make kernels`;
docs/reference/performance.md keeps what it showed, with date and device.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from engines.backends.tensorrt.backend import TensorRTBackend
from engines.bench.phantom import phantom
from engines.device.build import FATBIN
from engines.package import MANIFEST, load_package
from engines.pool import Pool
from engines.types import ClassificationResult

MODELS = Path(__file__).parents[2] / "models"
PACKAGES = sorted(path.parent.name for path in MODELS.glob("*/manifest.yaml"))
DICE = 0.99
"""Least overlap of each label with the processor's, in whatever precision the manifest prefers."""


@pytest.fixture
def backend(tmp_path):
    found = TensorRTBackend(folder=tmp_path / "plans")
    if reason := found.missing():
        pytest.skip(f"not run on a GPU: {reason}")
    return found


def without_gate(package, models):
    """Copy a package that runs on whatever it is given, a phantom too."""
    copied = shutil.copytree(package.root, models / package.name)
    manifest = yaml.safe_load((copied / MANIFEST).read_text(encoding="utf-8"))
    manifest.pop("gate", None)
    (copied / MANIFEST).write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return load_package(copied)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_on_the_gpu_what_it_says_on_the_processor(backend, name, tmp_path):
    package = without_gate(load_package(MODELS / name), tmp_path / "models")
    slices = 100 if package.manifest.model.ndim == 3 else 1
    volumes = phantom(package, (slices, 256, 256))
    models = package.root.parent
    with Pool(models, backend) as pool, Pool(models) as host:
        problems = list(pool.make_ready([name], lambda phase, done, steps: None))
        found, provenance = pool.run(name, None, volumes)
        expected, _ = host.run(name, None, volumes)
    assert problems == []
    assert provenance.backend == "tensorrt"
    if isinstance(expected, ClassificationResult):
        pairs = zip(found.scores, expected.scores, strict=True)
        assert max(abs(one.probability - two.probability) for one, two in pairs) < 0.05
        return
    for label in expected.labels:
        one, two = (each.labelmap == label.value for each in (found, expected))
        if two.any():
            assert 2 * (one & two).sum() / (one.sum() + two.sum()) >= DICE
    if any("sweep" in note or "swept" in note for note in provenance.notes) and FATBIN.exists():
        assert "swept on the device" in provenance.notes


def test_two_runs_on_the_gpu_give_the_same_labels(backend):
    volumes = phantom(load_package(MODELS / "ct-lungs"), (100, 256, 256))
    with Pool(MODELS, backend) as pool:
        list(pool.make_ready(["ct-lungs"], lambda phase, done, steps: None))
        first, _ = pool.run("ct-lungs", None, volumes)
        second, _ = pool.run("ct-lungs", None, volumes)
    assert np.array_equal(first.labelmap, second.labelmap)
