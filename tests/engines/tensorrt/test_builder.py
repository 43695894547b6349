"""NVIDIA's own parser and builder, which need no GPU, over our packages and over wrong graphs."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from engines.backends.tensorrt.builder import BuildOptions, Names, build
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.plans import Order, make, operators_kept, self_test_inputs
from engines.backends.tensorrt.precision import variant
from engines.backends.tensorrt.profiles import Profile, fitted, wanted
from engines.errors import PackageError
from engines.package import load_package
from tests.engines import builders
from tests.engines.tensorrt.fake import Fake

MODELS = Path(__file__).parents[3] / "models"
PACKAGES = sorted(path.parent.name for path in MODELS.glob("*/manifest.yaml"))
NAMES = Names("image", "logits")


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    """TensorRT for RTX, from PyPI."""
    if "CI" not in os.environ:
        pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    import tensorrt_rtx

    return Flavour("tensorrt_rtx", tensorrt_rtx.__version__, tensorrt_rtx)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", PACKAGES)
def test_every_reference_package_can_be_built(rtx, name, precision):
    package = load_package(MODELS / name)
    made = make(rtx, package, Order(precision))
    assert len(made.built.plan) > 100_000
    assert made.built.profile == wanted(package)[0]


@pytest.mark.parametrize("name", PACKAGES)
def test_nvidia_takes_the_int8_graph_of_every_reference_package_whatever_the_gate_says(rtx, name):
    package = load_package(MODELS / name)
    kept, cases = operators_kept(package), self_test_inputs(package)
    graph = variant(package.read_model(), "int8", keep=kept, calibration=cases)
    model = package.manifest.model
    names = Names(model.inputs[0].name, model.outputs[0].name)
    built = build(rtx, graph, names, wanted(package), BuildOptions())
    assert len(built.plan) > 100_000


def test_a_classifier_passes_the_gate_in_int8_and_is_built(rtx):
    made = make(rtx, load_package(MODELS / "cxr-view"), Order("int8"))
    assert made.parity is not None
    assert made.parity.largest < 0.01
    assert made.built.plan


def test_int8_that_changes_the_masks_is_refused_with_the_numbers(rtx):
    with pytest.raises(PackageError, match=r"int8 is refused: .*Dice is 0\.9\d+; 0\.99 is"):
        make(rtx, load_package(MODELS / "cxr-lungs"), Order("int8"))


def test_progress_is_told_and_ends_with_all_steps_done(rtx):
    seen = []
    package = load_package(MODELS / "cxr-view")
    make(rtx, package, Order("fp32"), lambda phase, done, steps: seen.append((phase, done, steps)))
    phase, done, steps = seen[-1]
    assert done == steps > 0
    assert (phase, 0, steps) in seen


def test_what_progress_raises_stops_the_build(rtx):
    def stop(phase, done, steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(rtx, load_package(MODELS / "cxr-view"), Order("fp32"), stop)


def test_an_image_of_any_size_can_be_built_for(rtx, tmp_path):
    made = make(rtx, builders.package(tmp_path / "tiny"), Order("fp32"))
    assert made.built.profile.least == (1, 1, 1, 1, 1)


def test_images_of_any_size_are_tried_from_one_pixel_and_from_32(tmp_path):
    fake = Fake({"build_serialized_network": None}, says="sizes do not match")
    package = builders.package(tmp_path / "tiny", ndim=2)
    with pytest.raises(PackageError) as refused:
        make(fake.flavour(), package, Order("fp32"))
    assert "for 1×1×1×1 … 1×1×2048×2048: sizes do not match" in str(refused.value)
    assert "for 1×1×32×32 … 1×1×2048×2048: sizes do not match" in str(refused.value)


def test_a_file_that_is_no_graph_is_refused_with_the_parsers_words(rtx):
    profile = Profile((1, 1, 4, 4, 4), (1, 1, 4, 4, 4), (1, 1, 4, 4, 4))
    with pytest.raises(PackageError, match="Failed to parse the ONNX model"):
        build(rtx, builders.network()[:40], NAMES, [profile], BuildOptions())


def test_an_operator_tensorrt_lacks_is_named(rtx):
    profile = Profile((1, 1, 4, 4, 4), (1, 1, 4, 4, 4), (1, 1, 4, 4, 4))
    graph = onnx.load_model_from_string(builders.network())
    graph.graph.node[0].op_type = "Levitate"
    with pytest.raises(PackageError, match=r"(?s)cannot read the graph.*Levitate"):
        build(rtx, graph.SerializeToString(), NAMES, [profile], BuildOptions())


@pytest.mark.parametrize(
    ("names", "says"),
    [(Names("picture", "logits"), "has inputs"), (Names("image", "mask"), "has outputs")],
)
def test_a_graph_with_other_tensors_than_the_manifest_is_refused(rtx, names, says):
    profile = Profile((1, 1, 4, 4, 4), (1, 1, 4, 4, 4), (1, 1, 4, 4, 4))
    with pytest.raises(PackageError, match=says):
        build(rtx, builders.network(), names, [profile], BuildOptions())


def test_an_impossible_profile_is_refused_with_the_builders_words(rtx):
    upside_down = Profile((1, 1, 8, 8, 8), (1, 1, 4, 4, 4), (1, 1, 2, 2, 2))
    with pytest.raises(PackageError, match=r"1×1×8×8×8 … 1×1×2×2×2: ."):
        build(rtx, builders.network(), NAMES, [upside_down], BuildOptions())


def test_windows_have_one_size_and_up_to_the_manifests_batch(tmp_path):
    window = {"mode": "sliding_window", "patch": [8, 16, 24], "batch": 4}
    (profile,) = wanted(builders.package(tmp_path / "tiny", infer=window))
    assert profile == Profile((1, 1, 8, 16, 24), (4, 1, 8, 16, 24), (4, 1, 8, 16, 24))


def test_resized_images_have_the_size_they_are_resized_to(tmp_path):
    package = builders.package(tmp_path / "tiny", ndim=2, preprocess__resize={"size": [32, 48]})
    assert wanted(package) == (Profile((1, 1, 32, 48), (1, 1, 32, 48), (1, 1, 32, 48)),)


def test_axes_that_the_graph_fixes_are_fixed_in_the_profile():
    profile = Profile((1, 1, 1, 1), (2, 1, 512, 512), (4, 1, 2048, 2048))
    assert fitted(profile, (-1, 1, 256, -1)) == Profile(
        (1, 1, 256, 1), (2, 1, 256, 512), (4, 1, 256, 2048)
    )


@pytest.mark.parametrize("shape", [(-1, 1, 4096, -1), (-1, 3, -1, -1), (-1, 1, -1)])
def test_a_graph_that_never_fits_the_manifest_is_refused(shape):
    profile = Profile((1, 1, 1, 1), (2, 1, 512, 512), (4, 1, 2048, 2048))
    with pytest.raises(PackageError, match="the graph"):
        fitted(profile, shape)
