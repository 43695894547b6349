"""Import a network of strangers and compare our engine with their program: ``make import-proof``.

The network is that of the package deepbet (T1 brain extraction, weights in the package). The
image is the T1 template in the package nilearn, which is a brain alone, inside a made head:
fluid, bone and scalp as shells around it, with noise.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import nibabel
import numpy as np
import yaml
from scipy import ndimage

from engines.importing import import_model
from engines.pool import Pool
from engines.types import BoolArray, FloatArray, Grid, SegmentationResult, Volume
from tests.importing.with_torch.brain import script

LEAST_DICE = 0.99

RUNTIME_ERROR = 0.05
"""Of a probability: ONNX Runtime on the CPU sums InstanceNormalization over 256 x 256 x 256
voxels in float32, and its deviation comes out wrong by a quarter of a percent."""

TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def with_skull(brain: FloatArray) -> FloatArray:
    """Put a brain, 0 outside, voxels of 1 mm, into a head; 20 mm larger on every side."""
    brain = np.pad(brain, 20)
    outside = ndimage.distance_transform_edt(brain == 0)
    shells = [(outside <= 3, 30), (outside <= 9, 15), (outside <= 16, 190)]  # mm, signal
    around = np.select([where for where, _ in shells], [signal for _, signal in shells], 2)
    noise = np.random.default_rng(0).normal(0, 4, brain.shape)
    head = ndimage.gaussian_filter(np.where(brain > 0, brain, around), 0.7) + noise
    return np.maximum(head, 0).astype(np.float32)


def manifest() -> dict[str, Any]:
    """Say what the network reads and what its answer means; deepbet cleans up the same way."""
    brain = {
        "name": "Brain",
        "category": ["SCT", "123037004", "Anatomical Structure"],
        "type": ["SCT", "12738006", "Brain"],
        "color": [230, 159, 0],
    }
    return {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": {
            "name": "deepbet",
            "version": version("deepbet"),
            "title": "Brain on T1 (deepbet)",
            "license": "MIT",
            "intendedUse": "research only, not for clinical use",
            "authors": ["deepbet"],
            "origin": {"format": "torchscript", "ref": f"deepbet {version('deepbet')} (PyPI)"},
        },
        "model": {
            "task": "segment",
            "file": "model.onnx",
            "ndim": 3,
            "inputs": [{"name": "head", "layout": "NCDHW", "channels": [{"name": "T1"}]}],
            "outputs": [{"name": "brain", "kind": "probabilities", "channels": 1}],
        },
        "select": {"Modality": ["MR"]},
        "preprocess": {"orientation": "LPS"},
        "infer": {"mode": "whole"},
        "postprocess": {
            "activation": "none",
            "labels": {1: brain},
            "steps": [{"keep_largest": {"labels": [1]}}, {"fill_holes": {"labels": [1]}}],
            "measurements": ["volume_ml"],
        },
        "output": {"dicom": ["SEG", "SR"], "series_description": "Brain"},
        "selftest": {"tolerance": {"max_abs": RUNTIME_ERROR}},
    }


def write_source(folder: Path, head: FloatArray) -> None:
    """Write what `import_model` reads; `head` (k, j, i) of LPS becomes the known answer's input."""
    script(_folder_of("deepbet").parent / "data" / "models", folder / "model.ts")
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest()), encoding="utf-8")
    np.save(folder / "example.npy", np.ascontiguousarray(head[np.newaxis, ::2, ::2, ::2]))


def theirs(head: nibabel.Nifti1Image) -> BoolArray:
    """Run deepbet itself; axes (k, j, i) of LPS."""
    from deepbet.bet import BrainExtraction

    _, mask, _ = BrainExtraction(no_gpu=True).run(head)
    return _lps(np.asarray(mask.dataobj)) > 0


def ours(models: Path, head: FloatArray) -> BoolArray:
    """Run the engine on the head as a sagittal series: slices to the left, rows downwards."""
    sagittal = np.ascontiguousarray(head.transpose(2, 0, 1)[:, ::-1])
    affine = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    volume = Volume(sagittal, Grid(sagittal.shape, affine), "MR")
    with Pool(models) as pool:
        result, provenance = pool.run("deepbet", None, [volume])
    if not isinstance(result, SegmentationResult):
        raise TypeError(f"expected a segmentation, not {type(result).__name__}")
    click.echo(f"{provenance.model} on {provenance.backend}: {provenance.seconds:.1f} s")
    return result.labelmap[:, ::-1].transpose(1, 2, 0) > 0


def main() -> int:
    """Print the Dice coefficient; 1 if it is below `LEAST_DICE`."""
    template = nibabel.load(_folder_of("nilearn") / TEMPLATE)
    made_head = with_skull(nibabel.as_closest_canonical(template).get_fdata(dtype=np.float32))
    image = nibabel.Nifti1Image(made_head, np.eye(4))
    head = _lps(made_head)
    with tempfile.TemporaryDirectory() as folder:
        source, models = Path(folder, "source"), Path(folder, "models")
        source.mkdir()
        write_source(source, head)
        made = import_model(source, models / "deepbet")
        click.echo(f"imported ({made.kind}); verified against PyTorch's own answer")
        mine, their = ours(models, head), theirs(image)
    both, sizes = np.count_nonzero(mine & their), np.count_nonzero(mine) + np.count_nonzero(their)
    dice = 2 * both / sizes
    click.echo(f"Dice {dice:.5f} over {np.count_nonzero(their)} voxels; at least {LEAST_DICE}")
    return 0 if dice >= LEAST_DICE else 1


def _lps(array: Any) -> Any:
    """Bring (i, j, k) of RAS to (k, j, i) of LPS."""
    return np.ascontiguousarray(array[::-1, ::-1].transpose(2, 1, 0))


def _folder_of(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed (make import-proof)")
    return Path(found.origin).parent


if __name__ == "__main__":
    sys.exit(main())
