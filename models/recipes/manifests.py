"""The manifests of the three packages, but for hashes and self-tests."""

from __future__ import annotations

from typing import Any

from export import VERSION, flow
from figures import COLORS

ANATOMY = ["SCT", "123037004", "Anatomical Structure"]
RIGHT_LUNG = ["SCT", "3341006", "Right lung"]
LEFT_LUNG = ["SCT", "44029006", "Left lung"]


def _metadata(name: str, title: str, recipe: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": VERSION,
        "title": title,
        "license": "Apache-2.0",
        "intendedUse": "research only, not for clinical use",
        "contentQualification": "RESEARCH",
        "authors": ["Wetread"],
        "origin": flow(format="recipe", ref=f"models/recipes/{recipe}.py"),
    }


def _model(task: str, ndim: int, channel: str, channels: int) -> dict[str, Any]:
    name, layout = ("image", "NCHW") if ndim == 2 else ("volume", "NCDHW")
    inputs = flow(name=name, layout=layout, dtype="float32", channels=[flow(name=channel)])
    return {
        "task": task,
        "file": "model.onnx",
        "sha256": "",
        "ndim": ndim,
        "inputs": [inputs],
        "outputs": [flow(name="logits", kind="logits", channels=channels)],
    }


def _lungs() -> dict[int, dict[str, Any]]:
    lungs = {1: ("Right lung", RIGHT_LUNG), 2: ("Left lung", LEFT_LUNG)}
    return {
        value: {
            "name": name,
            "category": ANATOMY,
            "type": code,
            "color": list(COLORS[value]),
        }
        for value, (name, code) in lungs.items()
    }


def _radiograph(size: tuple[int, int]) -> dict[str, Any]:
    return {
        "orientation": "none",
        "spacing_mm": None,
        "normalize": [flow(kind="percentile", lower=1, upper=99, b_min=0.0, b_max=1.0, clip=True)],
        "resize": flow(size=list(size), keep_aspect=True, pad=0.0),
    }


WHOLE = flow(mode="whole", patch=None, overlap=None, blend=None, batch=1)


def cxr_lungs(size: tuple[int, int]) -> dict[str, Any]:
    """Manifest of `cxr-lungs` for an input of these rows and columns."""
    return {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": _metadata("cxr-lungs", "Lungs on frontal chest radiographs", "cxr_lungs"),
        "model": _model("segment", 2, "radiograph", 3),
        "select": {
            "Modality": ["CR", "DX"],
            "ViewPosition": {"not": ["LL", "RL", "LATERAL"]},
        },
        "gate": flow(package="cxr-view", refuse=["lateral"]),
        "preprocess": _radiograph(size),
        "infer": WHOLE,
        "postprocess": {
            "activation": "softmax",
            "labels": _lungs(),
            "steps": [
                {"keep_largest": flow(labels=[1, 2], components=1)},
                {"fill_holes": flow(labels=[1, 2])},
                {"min_area_fraction": {1: 0.005, 2: 0.005}},
            ],
            "measurements": ["area_mm2", "extent_mm"],
        },
        "output": flow(dicom=["SEG", "SR", "SC"], series_description="Lungs"),
        "runtime": flow(cpu="allowed", timeout_s=120),
    }


def cxr_view(
    size: tuple[int, int], temperature: float, abstain: tuple[float, float]
) -> dict[str, Any]:
    """Manifest of `cxr-view`.

    Parameters
    ----------
    size
        Rows and columns of the input.
    temperature
        What the logits are divided by.
    abstain
        No answer is given while the higher of the two probabilities lies in this band.
    """
    return {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": _metadata("cxr-view", "Frontal or lateral chest radiograph", "cxr_view"),
        "model": _model("classify", 2, "radiograph", 2),
        "select": {"Modality": ["CR", "DX"]},
        "preprocess": _radiograph(size),
        "infer": WHOLE,
        "postprocess": {
            "activation": "softmax",
            "concept": ["DCM", "111031", "Image View"],
            "classes": [
                flow(name="frontal", code=["SCT", "399033003", "frontal"], threshold=0.5),
                flow(name="lateral", code=["SCT", "399067008", "lateral"], threshold=0.5),
            ],
            "calibration": flow(temperature=round(temperature, 3)),
            "abstain": list(abstain),
        },
        "output": flow(dicom=["SR"], series_description="Radiograph view"),
        "runtime": flow(cpu="allowed", timeout_s=60),
    }


def ct_lungs(
    patch: tuple[int, int, int], spacing_mm: float, window_hu: tuple[float, float], overlap: float
) -> dict[str, Any]:
    """Manifest of `ct-lungs`.

    Parameters
    ----------
    patch
        Voxels of a window, ``(z, y, x)``.
    spacing_mm
        Isotropic spacing the network sees.
    window_hu
        Hounsfield units mapped to 0 and 1.
    overlap
        Share by which neighbouring windows overlap.
    """
    low, high = window_hu
    return {
        "apiVersion": "wetread/v1",
        "kind": "ModelPackage",
        "metadata": _metadata("ct-lungs", "Lungs on CT", "ct_lungs"),
        "model": _model("segment", 3, "CT", 3),
        "select": {"Modality": ["CT"]},
        "preprocess": {
            "orientation": "LPS",
            "spacing_mm": [spacing_mm] * 3,
            "normalize": [
                flow(kind="window", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True)
            ],
            "resize": None,
        },
        "infer": flow(
            mode="sliding_window", patch=list(patch), overlap=overlap, blend="gaussian", batch=1
        ),
        "postprocess": {
            "activation": "softmax",
            "labels": _lungs(),
            "steps": [
                {"keep_largest": flow(labels=[1, 2], components=1)},
                {"fill_holes": flow(labels=[1, 2])},
                {"min_volume_ml": {1: 80, 2: 80}},
            ],
            "measurements": ["volume_ml", "mean_hu"],
        },
        "output": flow(dicom=["SEG", "SR", "SC"], series_description="Lungs"),
        "runtime": flow(cpu="allowed", timeout_s=300),
    }
