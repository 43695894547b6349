"""From the plans of an nnU-Net v2 result to a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engines.errors import PackageError
from engines.importing.draft import Axes, Document, Draft
from engines.importing.labels import labels
from engines.importing.manifest import manifest
from engines.importing.transforms import window

MODALITIES = {"ct": "CT", "mr": "MR", "mri": "MR", "t1": "MR", "t2": "MR", "pet": "PT"}


def configuration(plans: Document, name: str) -> dict[str, Any]:
    """Look up a configuration, with what it inherits.

    Raises
    ------
    PackageError
        If there is none of that name, it inherits from itself, or it is not 3D by itself.
    """
    found: dict[str, Any] = {}
    seen: list[str] = []
    parent: str | None = name
    while parent is not None:
        if parent in seen or parent not in plans.get("configurations", {}):
            known = ", ".join(sorted(plans.get("configurations", {})))
            raise PackageError(f"plans.json: no configuration {parent!r}; there are {known}")
        seen.append(parent)
        entry = plans["configurations"][parent]
        found = {**entry, **found}
        parent = entry.get("inherits_from")
    if found.get("previous_stage"):
        raise PackageError(f"previous_stage: the cascade {name} cannot be expressed")
    if len(found.get("patch_size", [])) != 3:
        raise PackageError(
            f"patch_size: {name} is no 3D configuration: its spacing has no slice axis, which a "
            "manifest's has"
        )
    return found


def read_results(plans: Document, dataset: Document, name: str) -> Draft:
    """Map one configuration of an nnU-Net v2 result.

    Parameters
    ----------
    plans, dataset
        ``plans.json`` and ``dataset.json``, parsed.
    name
        Of the configuration, such as ``3d_fullres``.

    Raises
    ------
    PackageError
        With the name of whatever a manifest cannot express.
    """
    chosen = configuration(plans, name)
    order = plans.get("transpose_forward", [0, 1, 2])
    if sorted(order) != [0, 1, 2]:
        raise PackageError(f"transpose_forward: {order!r} is no order of three axes")
    # Arrays of SimpleITK are (z, y, x) of LPS, which are the engines' axes.
    axes = Axes((order[0], order[1], order[2]), (False, False, False))
    channels = [str(value) for _, value in _by_number(dataset["channel_names"])]
    names, regions = _label_names(dataset)
    k, j, i = axes.reordered(chosen["patch_size"])
    title = str(plans.get("dataset_name", dataset.get("name", "nnunet")))
    made = manifest(
        name=title,
        version="1.0.0",
        license=str(dataset.get("licence") or dataset.get("license") or "not stated"),
        authors=str(dataset.get("reference") or "not stated"),
        intended_use="research only, not for clinical use",
        origin="nnunet-v2",
        channels=channels,
        classes=len(regions) or max(names) + 1,
        modality=MODALITIES.get(channels[0].lower()),
        crop=_crop(chosen),
        spacing=[float(each) for each in axes.reordered(chosen["spacing"])],
        normalize=_normalize(plans, chosen, channels),
        infer={
            "mode": "sliding_window",
            "patch": [int(k), int(j), int(i)],
            "overlap": 0.5,
            "blend": "gaussian",
        },
        activation="sigmoid" if regions else "softmax",
        labels=labels(names),
        steps=[],
        regions=regions,
    )
    return Draft(made, axes, (int(k), int(j), int(i)), _notes(names, regions))


def _by_number(entries: Document) -> list[tuple[int, Any]]:
    return sorted((int(key), value) for key, value in entries.items())


def _label_names(dataset: Document) -> tuple[dict[int, str], list[int]]:
    """Name the values of the label map, and list those that the output's regions paint.

    As in nnU-Net's label handling: where a label is a list of values, each label but the
    background and ``ignore`` is an output channel of its own, in the order of the file, and
    paints the value that ``regions_class_order`` has at its place, the later over the earlier.
    """
    wanted = {
        str(name): value
        for name, value in dataset["labels"].items()
        if name != "ignore" and value not in (0, [0])
    }
    for name, value in wanted.items():
        parts = value if isinstance(value, list) else [value]
        if not parts or not all(isinstance(part, int) for part in parts):
            raise PackageError(f"labels: {name} is {value!r}; expected a number or a list of them")
    order = dataset.get("regions_class_order")
    if not any(isinstance(value, list) and len(value) > 1 for value in wanted.values()):
        names = {_only(value): name for name, value in wanted.items()}
        names.pop(0, None)
        if not names:
            raise PackageError("labels: dataset.json names none but the background")
        return names, []
    if not isinstance(order, list) or len(order) != len(wanted):
        raise PackageError(
            f"regions_class_order: {order!r}: expected one value for each of the "
            f"{len(wanted)} regions"
        )
    return dict(zip(map(int, order), wanted, strict=True)), [int(value) for value in order]


def _only(value: int | list[int]) -> int:
    return value[0] if isinstance(value, list) else value


def _normalize(plans: Document, chosen: Document, channels: Sequence[str]) -> list[dict[str, Any]]:
    """Map the normalisation, which our manifest has once for all channels."""
    schemes = chosen.get("normalization_schemes", [])
    if len(schemes) != len(channels):
        raise PackageError(f"normalization_schemes: {len(schemes)} for {len(channels)} channels")
    steps = [_scheme(plans, chosen, number, scheme) for number, scheme in enumerate(schemes)]
    if any(step != steps[0] for step in steps):
        raise PackageError(f"{schemes[0]}: different numbers for each channel cannot be expressed")
    return steps[0]


def _scheme(plans: Document, chosen: Document, channel: int, name: str) -> list[dict[str, Any]]:
    if name == "NoNormalization":
        return []
    if name == "RGBTo01Normalization":
        return [window(0.0, 255.0, 0.0, 1.0, clip=False)]
    if name == "RescaleTo01Normalization":
        return [{"kind": "minmax", "b_min": 0.0, "b_max": 1.0}]
    if name == "ZScoreNormalization":
        masked = chosen.get("use_mask_for_norm", [False] * (channel + 1))[channel]
        return [{"kind": "zscore_masked" if masked else "zscore"}]
    if name != "CTNormalization":
        raise PackageError(f"{name}: cannot be expressed in a manifest")
    seen = plans["foreground_intensity_properties_per_channel"][str(channel)]
    return [
        {
            "kind": "ct_clip_zscore",
            "lower": float(seen["percentile_00_5"]),
            "upper": float(seen["percentile_99_5"]),
            "mean": float(seen["mean"]),
            "std": max(float(seen["std"]), 1e-8),
        }
    ]


def _crop(chosen: Document) -> dict[str, float] | None:
    """Crop to what nnU-Net calls not 0; on CT that is everything, air being -1000."""
    if "CTNormalization" in chosen.get("normalization_schemes", []):
        return None
    return {"above": 0.0, "margin_mm": 0.0}


def _notes(names: dict[int, str], regions: Sequence[int]) -> tuple[str, ...]:
    found = tuple(
        f"Label {value} is what of the region {names[value]} is in no later region; rename it."
        for value in regions[:-1]
    )
    return (
        *found,
        "nnU-Net resamples images by cubic splines; the node by lines.",
        "nnU-Net averages over mirrored images; the node runs each window once.",
        "nnU-Net takes files as they lie; the node turns every image to LPS, as axial DICOM "
        "series lie. Where the training files lay otherwise, left and right are exchanged.",
    )


__all__ = ["configuration", "read_results"]
