"""Bundles and nnU-Net results as their authors write them, each with one visible difference."""

from __future__ import annotations

import copy
from typing import Any

ORIENTATION = {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"}
SPACING = {
    "_target_": "Spacingd",
    "keys": "@image_key",
    "pixdim": [1.5, 2.0, 3.0],
    "mode": "bilinear",
}
RANGE = {
    "_target_": "ScaleIntensityRanged",
    "keys": "@image_key",
    "a_min": -57,
    "a_max": 164,
    "b_min": 0,
    "b_max": 1,
    "clip": True,
}
METADATA: dict[str, Any] = {
    "version": "0.5.1",
    "name": "Spleen CT",
    "authors": "Example Lab",
    "copyright": "Apache-2.0",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1, "spatial_shape": [96, 96, 96]}},
        "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}},
    },
}
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
INFERENCE: dict[str, Any] = {
    "image_key": "image",
    "device": "$torch.device('cuda:0')",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            ORIENTATION,
            SPACING,
            RANGE,
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": [32, 24, 16],
        "sw_batch_size": 4,
        "overlap": 0.5,
        "mode": "gaussian",
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
}
PLANS: dict[str, Any] = {
    "dataset_name": "Dataset009_Spleen",
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 100.0, "std": 40.0, "percentile_00_5": -40.0, "percentile_99_5": 200.0}
    },
    "configurations": {
        "3d_lowres": {
            "patch_size": [16, 24, 32],
            "spacing": [3.0, 1.5, 1.0],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
        },
        "3d_fullres": {"inherits_from": "3d_lowres", "spacing": [2.0, 0.8, 0.7]},
    },
}
DATASET: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "spleen": 1, "tumour": 2},
    "licence": "CC-BY-SA 4.0",
}


def inference(
    *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None, **changed: Any
) -> dict[str, Any]:
    """An inference configuration; `before` and `after` are one more transform at the end."""
    made = copy.deepcopy({**INFERENCE, **changed})
    if before is not None:
        made["preprocessing"]["transforms"].append(before)
    if after is not None:
        made["postprocessing"]["transforms"].append(after)
    return made


def plans(**configuration: Any) -> dict[str, Any]:
    """Plans whose ``3d_fullres`` differs."""
    made = copy.deepcopy(PLANS)
    made["configurations"]["3d_fullres"].update(configuration)
    return made
