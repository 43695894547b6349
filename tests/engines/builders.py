"""Synthetic packages, networks and volumes, each with defaults and one visible difference."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper

from engines.package import Package, load_package
from engines.types import BoolArray, FloatArray, Grid, Volume

LUNG = {
    "name": "lung",
    "category": ["SCT", "123037004", "Anatomical Structure"],
    "type": ["SCT", "39607008", "Lung"],
    "color": [120, 180, 240],
}
HEART = {**LUNG, "name": "heart", "type": ["SCT", "80891009", "Heart"], "color": [200, 50, 50]}


class _Plain(yaml.SafeDumper):
    """Writes shared values out: a manifest has no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def network(
    *,
    ndim: int = 3,
    kind: str = "identity",
    channels: int = 1,
    classes: int = 2,
    domain: str = "",
    name_in: str = "image",
    name_out: str = "logits",
) -> bytes:
    """Make a tiny ONNX file.

    ``identity`` gives its input; ``threshold`` gives the channels (0, 20 (x - 0.5));
    ``mean`` gives (mean, -mean) of the image; ``log`` gives log(x), which need not be finite.
    """
    space = [f"d{axis}" for axis in range(ndim)]
    given = helper.make_tensor_value_info(name_in, TensorProto.FLOAT, ["n", channels, *space])
    shape: list[Any] = ["n", classes, *space]
    weights = []
    if kind in ("identity", "log"):
        shape[1] = channels
        op = {"identity": "Identity", "log": "Log"}[kind]
        nodes = [helper.make_node(op, [name_in], [name_out], domain=domain)]
    elif kind == "threshold":
        factor = np.zeros((1, 2, *[1] * ndim), np.float32)
        factor[0, 1] = 20
        weights = [
            onnx.numpy_helper.from_array(factor, "factor"),
            onnx.numpy_helper.from_array(factor / 2, "shift"),
        ]
        nodes = [
            helper.make_node("Mul", [name_in, "factor"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "shift"], [name_out]),
        ]
    else:
        shape = ["n", 2]
        weights = [onnx.numpy_helper.from_array(np.array([[1, -1]], np.float32), "signs")]
        nodes = [
            helper.make_node("GlobalAveragePool", [name_in], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Mul", ["flat", "signs"], [name_out]),
        ]
    wanted = helper.make_tensor_value_info(name_out, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "tiny", [given], [wanted], weights)
    opsets = [helper.make_opsetid("", 17)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()
    return content


def manifest(*, task: str = "segment", ndim: int = 3, **changes: Any) -> dict[str, Any]:
    """Make a manifest; `changes` replace dotted keys, with ``__`` for the dot."""
    made: dict[str, Any] = {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": {
            "name": "tiny",
            "version": "1.0.0",
            "title": "Tiny",
            "license": "Apache-2.0",
            "intendedUse": "tests",
            "authors": ["nobody"],
        },
        "model": {
            "task": task,
            "file": "model.onnx",
            "sha256": "0" * 64,
            "ndim": ndim,
            "inputs": [
                {
                    "name": "image",
                    "layout": "NCDHW" if ndim == 3 else "NCHW",
                    "dtype": "float32",
                    "channels": [{"name": "CT"}],
                }
            ],
            "outputs": [{"name": "logits", "kind": "logits", "channels": 2}],
        },
        "select": {"Modality": "CT"},
        "infer": {"mode": "whole"},
        "postprocess": {"activation": "softmax"},
        "output": {"dicom": ["SEG", "SR"], "series_description": "tiny"},
    }
    if task == "segment":
        made["postprocess"]["labels"] = {1: LUNG}
    else:
        made["output"]["dicom"] = ["SR"]
        made["postprocess"]["concept"] = ["SCT", "260421001", "Left-right"]
        made["postprocess"]["classes"] = [
            {"name": "bright", "code": ["SCT", "1", "Bright"]},
            {"name": "dark", "code": ["SCT", "2", "Dark"]},
        ]
    for key, value in changes.items():
        *path, last = key.split("__")
        section = made
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return copy.deepcopy(made)


def write_package(folder: Path, content: dict[str, Any], model: bytes) -> Path:
    """Write a package folder; the manifest gets the model's hash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    content["model"]["sha256"] = hashlib.sha256(model).hexdigest()
    (folder / "manifest.yaml").write_text(yaml.dump(content, Dumper=_Plain, sort_keys=False))
    return folder


def package(
    folder: Path,
    *,
    task: str = "segment",
    ndim: int = 3,
    model: bytes | None = None,
    **changes: Any,
) -> Package:
    """Write and load a package that thresholds at 0.5, or classifies by the mean."""
    kind = "threshold" if task == "segment" else "mean"
    model = model or network(ndim=ndim, kind=kind)
    return load_package(write_package(folder, manifest(task=task, ndim=ndim, **changes), model))


def grid(
    shape: tuple[int, int, int] = (4, 6, 8),
    *,
    spacing: tuple[float, float, float] = (2.0, 1.0, 0.5),
    turn: FloatArray | None = None,
    patient_frame: bool = True,
    spacing_known: bool = True,
) -> Grid:
    """Make a grid whose (k, j, i) run along (+z, +y, +x), or turned by a 3 by 3 matrix."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, ::-1] * spacing
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-30.0, 40.0, 100.0)
    return Grid(shape, affine, patient_frame, spacing_known)


def volume(
    voxels: FloatArray,
    *,
    on: Grid | None = None,
    unit: str = "[hnsf'U]",
    padding: BoolArray | None = None,
) -> Volume:
    """Make a CT volume; by default in the axes of LPS."""
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    return Volume(
        voxels.astype(np.float32), on or grid(shape), modality="CT", unit=unit, padding=padding
    )


def noise(*shape: int, seed: int = 0) -> FloatArray:
    """Make float32 noise, 0 … 1."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)
