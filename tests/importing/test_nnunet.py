"""What the plans of an nnU-Net v2 result become, and what is refused."""

from __future__ import annotations

import pytest

from engines.errors import PackageError
from engines.importing.nnunet import read_results
from engines.package.consistency import problems
from engines.package.manifest import Manifest
from tests.importing.sources import DATASET, PLANS, plans


def test_a_result_becomes_a_manifest_without_contradictions():
    made = read_results(PLANS, DATASET, "3d_fullres").manifest
    made["model"]["sha256"] = "0" * 64
    assert problems(Manifest.model_validate(made)) == []
    assert made["model"]["outputs"][0]["channels"] == 3
    assert [made["postprocess"]["labels"][n]["name"] for n in (1, 2)] == ["spleen", "tumour"]


def test_a_configuration_inherits_what_it_does_not_say():
    made = read_results(PLANS, DATASET, "3d_fullres").manifest
    assert made["preprocess"]["spacing_mm"] == [2.0, 0.8, 0.7]
    assert made["infer"]["patch"] == [16, 24, 32]


def test_axes_that_nnunet_exchanges_are_put_back():
    turned = {**PLANS, "transpose_forward": [1, 2, 0]}
    made = read_results(turned, DATASET, "3d_fullres")
    assert made.manifest["preprocess"]["spacing_mm"] == [0.7, 2.0, 0.8]
    assert made.example == (32, 16, 24)
    assert made.axes.order == (1, 2, 0)


def test_ct_normalisation_clips_to_percentiles_then_standardises():
    (step,) = read_results(PLANS, DATASET, "3d_fullres").manifest["preprocess"]["normalize"]
    ends = {"lower": -40.0, "upper": 200.0, "mean": 100.0, "std": 40.0}
    assert step == {"kind": "ct_clip_zscore", **ends}


@pytest.mark.parametrize(("masked", "kind"), [(False, "zscore"), (True, "zscore_masked")])
def test_zscore_is_of_the_box_that_is_not_0(masked, kind):
    schemes = plans(normalization_schemes=["ZScoreNormalization"], use_mask_for_norm=[masked])
    made = read_results(schemes, DATASET, "3d_fullres").manifest["preprocess"]
    assert made["normalize"] == [{"kind": kind}]
    assert made["crop"] == {"above": 0, "margin_mm": 0}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"normalization_schemes": ["OwnNormalization"]}, "OwnNormalization"),
        ({"previous_stage": "3d_lowres"}, "previous_stage"),
        ({"patch_size": [512, 512]}, "patch_size"),
        ({"inherits_from": "3d_fullres"}, "3d_fullres"),
        (
            {"normalization_schemes": ["CTNormalization"] * 2},
            "normalization_schemes",
        ),
    ],
)
def test_what_a_manifest_cannot_express_is_refused_by_name(changed, named):
    with pytest.raises(PackageError, match=named):
        read_results(plans(**changed), DATASET, "3d_fullres")


BRAIN = {
    **DATASET,
    "labels": {
        "background": 0,
        "whole tumour": [1, 2, 3],
        "core": [2, 3],
        "enhancing": 3,
        "ignore": 4,
    },
    "regions_class_order": [2, 1, 3],
}


def test_regions_become_channels_that_paint_one_over_the_other():
    draft = read_results(PLANS, BRAIN, "3d_fullres")
    made = draft.manifest
    made["model"]["sha256"] = "0" * 64
    assert problems(Manifest.model_validate(made)) == []
    assert made["model"]["outputs"][0]["channels"] == 3
    assert made["postprocess"]["activation"] == "sigmoid"
    assert made["postprocess"]["regions"] == [2, 1, 3]
    names = {value: label["name"] for value, label in made["postprocess"]["labels"].items()}
    assert names == {2: "whole tumour", 1: "core", 3: "enhancing"}
    assert "Label 2 is what of the region whole tumour is in no later region" in draft.notes[0]


@pytest.mark.parametrize("order", [None, [1, 2], [1, 2, 3, 4], "123"])
def test_regions_without_an_order_for_each_are_refused(order):
    with pytest.raises(PackageError, match=r"regions_class_order: .*each of the 3 regions"):
        read_results(PLANS, {**BRAIN, "regions_class_order": order}, "3d_fullres")


@pytest.mark.parametrize("value", ["1", [], ["1", "2"], None])
def test_a_label_that_is_no_number_and_no_list_of_numbers_is_refused(value):
    with pytest.raises(PackageError, match="labels: odd is"):
        read_results(PLANS, {**DATASET, "labels": {"background": 0, "odd": value}}, "3d_fullres")


def test_an_unknown_configuration_names_those_there_are():
    with pytest.raises(PackageError, match="3d_fullres, 3d_lowres"):
        read_results(PLANS, DATASET, "2d")
