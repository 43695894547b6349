"""What a MONAI bundle becomes, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from engines.errors import PackageError
from engines.importing.bundle import read_bundle
from engines.importing.draft import Draft, axes_of
from engines.importing.labels import CODES
from engines.package.consistency import problems
from engines.package.manifest import Manifest
from tests.importing.sources import INFERENCE, METADATA, ORIENTATION, RANGE, SPACING, inference


def draft(configuration: dict[str, Any] | None = None, metadata: Any = METADATA) -> Draft:
    return read_bundle(metadata, configuration or inference(), "folder")


def refused(configuration: dict[str, Any], *words: str, metadata: Any = METADATA) -> None:
    with pytest.raises(PackageError) as caught:
        draft(configuration, metadata)
    for word in words:
        assert word in str(caught.value)


def with_transforms(*transforms: dict[str, Any]) -> dict[str, Any]:
    return inference(preprocessing={"_target_": "Compose", "transforms": list(transforms)})


def flat() -> dict[str, Any]:
    metadata: dict[str, Any] = copy.deepcopy(METADATA)
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = [96, 96]
    return metadata


def test_a_bundle_becomes_a_manifest_without_contradictions():
    made = draft().manifest
    made["model"]["sha256"] = "0" * 64
    assert problems(Manifest.model_validate(made)) == []
    assert made["metadata"]["name"] == "spleen-ct"
    assert made["select"] == {"Modality": ["CT"]}


def test_sizes_and_spacing_come_in_the_order_slice_row_column():
    made = draft()
    assert made.manifest["preprocess"]["spacing_mm"] == [3.0, 2.0, 1.5]
    assert made.manifest["infer"]["patch"] == [16, 24, 32]
    assert made.example == (16, 24, 32)


def test_ras_runs_against_rows_and_columns_of_lps():
    axes = axes_of("RAS")
    assert (axes.order, axes.flips) == ((2, 1, 0), (True, True, False))
    assert axes_of("SPL").flips == (False, False, False)


@pytest.mark.parametrize("axcodes", ["RA", "RRS", "XYZ", "ras"])
def test_axis_codes_that_span_no_space_are_refused(axcodes):
    refused(with_transforms({**ORIENTATION, "axcodes": axcodes}), "Orientationd", axcodes)


def test_an_intensity_range_becomes_a_window():
    assert draft().manifest["preprocess"]["normalize"] == [
        {"kind": "window", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1, "clip": True}
    ]


@pytest.mark.parametrize(
    ("transform", "step"),
    [
        ({"_target_": "NormalizeIntensityd"}, {"kind": "zscore"}),
        ({"_target_": "NormalizeIntensityd", "nonzero": True}, {"kind": "zscore_masked"}),
        (
            {"_target_": "monai.transforms.NormalizeIntensityd", "subtrahend": 10, "divisor": 5},
            {"kind": "window", "a_min": 10, "a_max": 15, "b_min": 0, "b_max": 1, "clip": False},
        ),
        (
            {"_target_": "ScaleIntensityD", "minv": -1, "maxv": 1},
            {"kind": "minmax", "b_min": -1, "b_max": 1},
        ),
        (
            {
                "_target_": "ScaleIntensityRangePercentilesDict",
                "lower": 1,
                "upper": 99,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"kind": "percentile", "lower": 1, "upper": 99, "b_min": 0, "b_max": 1, "clip": True},
        ),
    ],
)
def test_each_normalisation_becomes_the_step_that_gives_its_numbers(transform, step):
    made = draft(with_transforms(ORIENTATION, {"keys": "image", **transform}))
    assert made.manifest["preprocess"]["normalize"] == [step]


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ({"_target_": "Lambdad", "func": "$lambda x: x"}, ("Lambdad",)),
        ({"_target_": "monai.transforms.Resized", "spatial_size": [8, 8, 8]}, ("Resized",)),
        ({"_target_": "os.system", "command": "true"}, ("system",)),
        ({**RANGE, "a_min": "$-1000 + 1"}, ("ScaleIntensityRanged", "a_min", "$-1000 + 1")),
        ({**RANGE, "gamma": 2}, ("ScaleIntensityRanged", "gamma")),
        ({**SPACING, "mode": "nearest"}, ("Spacingd", "mode", "nearest")),
        ({"_target_": "ScaleIntensityd", "factor": 2}, ("ScaleIntensityd", "factor")),
        ({"_target_": "ToTensord", "_disabled_": "$1 > 2"}, ("ToTensord", "$1 > 2")),
    ],
)
def test_what_a_manifest_cannot_express_is_refused_by_name(transform, words):
    refused(inference(before={"keys": "image", **transform}), *words)


def test_a_crop_keeps_what_exceeds_the_value_that_becomes_0():
    crop = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"}
    first = draft(with_transforms(ORIENTATION, crop, RANGE)).manifest["preprocess"]
    assert first["crop"] == {"above": 0, "margin_mm": 0}
    after = draft(with_transforms(ORIENTATION, RANGE, crop)).manifest["preprocess"]
    assert after["crop"] == {"above": -57, "margin_mm": 0}


def test_a_crop_whose_bound_is_not_known_in_the_unit_of_the_image_is_refused():
    crop = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"}
    zscore = {"_target_": "NormalizeIntensityd", "keys": "image"}
    refused(with_transforms(ORIENTATION, zscore, crop), "CropForegroundd", "zscore")
    refused(inference(before={**crop, "margin": 4}), "CropForegroundd", "margin")
    refused(inference(before={**crop, "select_fn": "$lambda x: x > 1"}), "select_fn")


def test_a_transform_of_the_label_image_is_passed_over():
    made = draft(inference(before={"_target_": "Lambdad", "keys": "label"}))
    assert made.manifest == draft().manifest


def test_a_disabled_transform_is_passed_over():
    lambda_ = {"_target_": "Lambdad", "keys": "image", "_disabled_": True}
    assert draft(inference(before=lambda_)).manifest == draft().manifest


def test_a_bundle_without_orientation_is_refused():
    refused(with_transforms(RANGE), "Orientationd")


def test_unequal_spacing_before_the_orientation_is_refused():
    refused(with_transforms(SPACING, ORIENTATION), "Orientationd", "Spacingd")
    equal = {**SPACING, "pixdim": [2, 2, 2]}
    made = draft(with_transforms(equal, ORIENTATION))
    assert made.manifest["preprocess"]["spacing_mm"] == [2, 2, 2]


def test_references_are_followed_and_circles_refused():
    changed = inference(spacing=[1, 1, 1])
    changed["preprocessing"]["transforms"][3]["pixdim"] = "@spacing"
    assert draft(changed).manifest["preprocess"]["spacing_mm"] == [1, 1, 1]
    refused({**changed, "spacing": "@spacing"}, "Spacingd", "circle")
    refused({**changed, "spacing": "@nothing::0"}, "@nothing::0")
    refused({**changed, "spacing": "%other.json::x"}, "%other.json::x")


@pytest.mark.parametrize(
    ("inferer", "words"),
    [
        ({"_target_": "PatchInferer"}, ("PatchInferer",)),
        ({"_target_": "SlidingWindowInferer", "roi_size": [96, 96]}, ("roi_size",)),
        (
            {"_target_": "SlidingWindowInferer", "roi_size": "$(96,) * 3"},
            ("roi_size", "$(96,) * 3"),
        ),
        (
            {"_target_": "SlidingWindowInferer", "roi_size": 96, "sigma_scale": 0.25},
            ("SlidingWindowInferer", "sigma_scale"),
        ),
        (None, ("inferer",)),
    ],
)
def test_an_inferer_that_runs_otherwise_is_refused(inferer, words):
    refused(inference(inferer=inferer), *words)


def test_a_simple_inferer_sees_the_whole_volume():
    made = draft(inference(inferer={"_target_": "monai.inferers.SimpleInferer"}))
    assert made.manifest["infer"] == {"mode": "whole"}
    assert made.example == (96, 96, 96)


def test_monai_overlaps_by_a_quarter_and_weighs_alike_unless_told():
    made = draft(inference(inferer={"_target_": "SlidingWindowInferer", "roi_size": 32}))
    infer = made.manifest["infer"]
    assert (infer["overlap"], infer["blend"], infer["patch"]) == (0.25, "constant", [32] * 3)


def test_clean_up_becomes_steps():
    keep = {
        "_target_": "KeepLargestConnectedComponentd",
        "keys": "pred",
        "applied_labels": [1],
        "num_components": 2,
    }
    steps = draft(inference(after=keep)).manifest["postprocess"]["steps"]
    assert steps == [{"keep_largest": {"labels": [1], "components": 2}}]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"_target_": "RemoveSmallObjectsd", "min_size": 64}, ("RemoveSmallObjectsd",)),
        ({"_target_": "AsDiscreted", "threshold": 0.3}, ("AsDiscreted", "threshold", "0.3")),
        ({"_target_": "Activationsd", "other": "$torch.tanh"}, ("Activationsd", "$torch.tanh")),
    ],
)
def test_clean_up_that_a_manifest_cannot_express_is_refused(after, words):
    refused(inference(after={"keys": "pred", **after}), *words)


def test_sigmoid_of_one_channel_needs_the_threshold_that_the_node_has():
    one = copy.deepcopy(METADATA)
    one["network_data_format"]["outputs"]["pred"] = {
        "num_channels": 1,
        "channel_def": {"0": "spleen"},
    }
    sigmoid = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    half = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    made = draft(inference(postprocessing={"transforms": [sigmoid, half]}), one).manifest
    assert made["postprocess"]["activation"] == "sigmoid"
    assert made["postprocess"]["labels"][1]["name"] == "spleen"
    refused(inference(postprocessing={"transforms": [sigmoid]}), "AsDiscreted", metadata=one)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [({**METADATA, "spatial_dims": 2}, "spatial_dims"), (flat(), "spatial_shape")],
)
def test_a_network_for_slices_is_refused_by_the_entry_that_says_so(metadata, named):
    refused(inference(), named, "2 axes", metadata=metadata)


def test_sigmoid_of_several_channels_is_refused_for_labels_that_overlap():
    changed = inference()
    changed["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ]
    refused(changed, "Activationsd", "overlap")


def test_inputs_beside_the_image_are_refused():
    metadata = copy.deepcopy(METADATA)
    metadata["network_data_format"]["inputs"]["clicks"] = {}
    refused(copy.deepcopy(INFERENCE), "clicks", metadata=metadata)


@pytest.mark.parametrize(("name", "code"), sorted(CODES.items()))
def test_codes_are_those_of_the_standard(name, code):
    known = {value for meanings in concepts["SCT"].values() for value in meanings}
    assert code[0] in known
    assert code[1].lower() == name


def test_a_label_without_a_known_code_gets_a_private_one():
    metadata = copy.deepcopy(METADATA)
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = "blob"
    label = draft(metadata=metadata).manifest["postprocess"]["labels"][1]
    assert (label["name"], label["type"]) == ("blob", ["99IMPORT", "1", "blob"])
