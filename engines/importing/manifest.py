"""The part of a manifest that all importers write alike."""

from __future__ import annotations

import re
from typing import Any

from engines.importing.draft import package_name
from engines.package.manifest import SEMVER

INPUT, OUTPUT, MODEL_FILE = "image", "logits", "model.onnx"
"""Names of the exported graph's tensors, and of its file."""


def manifest(
    *,
    name: str,
    version: str,
    license: str,
    authors: str,
    intended_use: str,
    origin: str,
    channels: list[str],
    classes: int,
    modality: str | None,
    crop: dict[str, float] | None,
    spacing: list[float] | None,
    normalize: list[dict[str, Any]],
    infer: dict[str, Any],
    activation: str,
    labels: dict[int, dict[str, Any]],
    steps: list[dict[str, Any]],
    regions: list[int] | None = None,
) -> dict[str, Any]:
    """Write the manifest of a 3D segmentation, but for hashes and known answers.

    Parameters
    ----------
    spacing, infer
        In the order (k, j, i).
    labels
        Value of the label map → entry.
    regions
        The value that each channel paints, where it paints one.

    Returns
    -------
    dict
        Plain values, in the order of the manifest's reference.
    """
    return {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": {
            "name": package_name(name),
            "version": version if re.match(SEMVER, version) else "0.1.0",
            "title": name[:64],
            "license": license,
            "intendedUse": intended_use,
            "contentQualification": "RESEARCH",
            "authors": [authors],
            "origin": {"format": origin, "ref": name},
        },
        "model": {
            "task": "segment",
            "file": MODEL_FILE,
            "ndim": 3,
            "inputs": [
                {
                    "name": INPUT,
                    "layout": "NCDHW",
                    "channels": [{"name": each} for each in channels],
                }
            ],
            "outputs": [{"name": OUTPUT, "kind": "logits", "channels": classes}],
        },
        "select": {"Modality": [modality]} if modality else {},
        "preprocess": {
            **({"crop": crop} if crop else {}),
            "orientation": "LPS",
            "spacing_mm": spacing,
            "normalize": normalize,
        },
        "infer": infer,
        "postprocess": {
            "activation": activation,
            "labels": labels,
            **({"regions": regions} if regions else {}),
            "steps": steps,
            "measurements": ["volume_ml"],
        },
        "output": {"dicom": ["SEG", "SR"], "series_description": name[:48]},
    }


__all__ = ["INPUT", "MODEL_FILE", "OUTPUT", "manifest"]
