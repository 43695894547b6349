"""From a MONAI bundle's metadata and inference configuration to a manifest."""

from __future__ import annotations

from typing import Any

from engines.errors import PackageError
from engines.importing.config import Arguments, arguments, resolve, transforms
from engines.importing.draft import Axes, Document, Draft, Shape, axes_of
from engines.importing.labels import labels
from engines.importing.manifest import manifest
from engines.importing.transforms import FINISH, PREPARE, Reading, read

WHOLE_EXAMPLE: Shape = (64, 64, 64)
"""Voxels of the known answer where neither window nor metadata names a size."""


def read_bundle(metadata: Document, inference: Document, name: str) -> Draft:
    """Map a bundle for segmentation in 3D; nothing of it is run.

    Parameters
    ----------
    metadata
        ``configs/metadata.json``, parsed: names, channels, labels, licence.
    inference
        ``configs/inference.json``, parsed: ``preprocessing``, ``inferer``, ``postprocessing``.
    name
        Of the bundle, where the metadata has none.

    Raises
    ------
    PackageError
        With the name of whatever a manifest cannot express.
    """
    image, output = _formats(metadata)
    _check_axes(metadata, image)
    channels = int(image.get("num_channels", 1))
    classes = int(output.get("num_channels", 0))
    if classes < 1:
        raise PackageError("metadata: outputs: pred: num_channels is missing")
    reading = Reading(channels, tuple(range(1, max(2, classes))))
    read(transforms(inference, "preprocessing"), PREPARE, reading)
    read(transforms(inference, "postprocessing"), FINISH, reading)
    if reading.axcodes is None:
        raise PackageError(
            "Orientationd: is missing: how the network's axes lie depends on the file"
        )
    axes = axes_of(reading.axcodes)
    infer, notes = _infer(arguments(inference, inference.get("inferer"), "inferer"), axes)
    activation = _activation(reading, classes)
    example = infer.get("patch") or _example(image, axes)
    made = manifest(
        name=str(metadata.get("name") or name),
        version=str(metadata.get("version", "0.1.0")),
        license=str(metadata.get("license") or metadata.get("copyright") or "not stated"),
        authors=str(metadata.get("authors") or "not stated"),
        intended_use=str(metadata.get("intended_use") or "research only, not for clinical use"),
        origin="monai-bundle",
        channels=_channel_names(image, channels),
        classes=classes,
        modality=_modality(image),
        crop=reading.crop,
        spacing=axes.reordered(reading.pixdim) if reading.pixdim else None,
        normalize=reading.normalize,
        infer=infer,
        activation=activation,
        labels=labels(_label_names(output, classes, activation)),
        steps=reading.steps,
    )
    return Draft(made, axes, tuple(example), (*reading.notes, *notes))


def _formats(metadata: Document) -> tuple[Document, Document]:
    formats = metadata.get("network_data_format", {})
    inputs, outputs = formats.get("inputs", {}), formats.get("outputs", {})
    if list(inputs) != ["image"]:
        raise PackageError(f"metadata: inputs {sorted(inputs)} cannot be expressed, only image")
    if "pred" not in outputs:
        raise PackageError(f"metadata: outputs {sorted(outputs)}: expected pred")
    return inputs["image"], outputs["pred"]


def _check_axes(metadata: Document, image: Document) -> None:
    """Refuse networks for slices: their spacing has no slice axis, which a manifest's has."""
    shape = image.get("spatial_shape", [])
    for name, axes in (
        ("spatial_dims", metadata.get("spatial_dims", 3)),
        ("inputs: image: spatial_shape", len(shape) if isinstance(shape, list) and shape else 3),
    ):
        if axes != 3:
            raise PackageError(
                f"metadata: {name}: a network of {axes} axes cannot be imported, only one of 3"
            )


def _infer(inferer: Arguments, axes: Axes) -> tuple[dict[str, Any], list[str]]:
    """Map the inferer; how it uses the device does not matter."""
    if inferer.name == "SimpleInferer":
        inferer.finish()
        return {"mode": "whole"}, []
    if inferer.name != "SlidingWindowInferer":
        raise PackageError(f"{inferer.name}: cannot be expressed in a manifest")
    inferer.ignore(
        "sw_device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps",
        "buffer_dim", "with_coord", "padding_mode", "cval",
    )  # fmt: skip
    inferer.must("sigma_scale", [0.125], 0.125)
    inferer.must("roi_weight_map", [None], None)
    roi = inferer.get("roi_size")
    roi = [roi] * 3 if isinstance(roi, int) else roi
    if not isinstance(roi, list) or len(roi) != 3 or not all(
        isinstance(each, int) and each > 0 for each in roi
    ):  # fmt: skip
        raise PackageError(f"{inferer.name}: roi_size {roi!r}: expected three sizes, voxels")
    infer = {
        "mode": "sliding_window",
        "patch": axes.reordered(roi),
        "overlap": inferer.number("overlap", 0.25),
        "blend": inferer.get("mode", "constant"),
        "batch": int(inferer.number("sw_batch_size", 1)),
    }
    inferer.finish()
    note = (
        "SlidingWindowInferer fills volumes smaller than a window with 0; the node fills them "
        "with the least value."
    )
    return infer, [note]


def _activation(reading: Reading, classes: int) -> str:
    if reading.activation == "sigmoid" and reading.argmax:
        raise PackageError("AsDiscreted: argmax after sigmoid cannot be expressed")
    if reading.activation == "sigmoid" and not reading.threshold:
        raise PackageError("AsDiscreted: sigmoid without the threshold 0.5 cannot be expressed")
    if reading.activation == "softmax" and not reading.argmax:
        raise PackageError("AsDiscreted: softmax without argmax cannot be expressed")
    if reading.activation is None and not reading.argmax:
        raise PackageError("Activationsd: is missing; expected softmax or sigmoid")
    activation = reading.activation or "softmax"
    if activation == "softmax" and classes < 2:
        raise PackageError("Activationsd: softmax over one channel is always 1")
    if activation == "sigmoid" and classes > 1:
        raise PackageError(
            f"Activationsd: sigmoid over {classes} channels gives labels that overlap, which a "
            "label map cannot hold; postprocess.regions would paint them one over the other, but a "
            "bundle does not say in which order"
        )
    return activation


def _label_names(output: Document, classes: int, activation: str) -> dict[int, str]:
    given = {int(key): str(name) for key, name in output.get("channel_def", {}).items()}
    if activation == "sigmoid":
        return {1: given.get(1) or given.get(0) or "label 1"}
    return {value: given.get(value, f"label {value}") for value in range(1, classes)}


def _channel_names(image: Document, channels: int) -> list[str]:
    given = {int(key): str(name) for key, name in image.get("channel_def", {}).items()}
    return [given.get(number, f"channel {number}") for number in range(channels)]


def _modality(image: Document) -> str | None:
    said = str(image.get("modality", "")).upper()
    return {"CT": "CT", "MR": "MR", "MRI": "MR", "PT": "PT", "PET": "PT"}.get(said)


def _example(image: Document, axes: Axes) -> Shape:
    """Voxels (k, j, i) of the input that the metadata name, else `WHOLE_EXAMPLE`."""
    shape = resolve(image, image.get("spatial_shape", []), "metadata: spatial_shape")
    if len(shape) == 3 and all(isinstance(size, int) and size > 0 for size in shape):
        k, j, i = axes.reordered(shape)
        return k, j, i
    return WHOLE_EXAMPLE


__all__ = ["WHOLE_EXAMPLE", "read_bundle"]
