"""From a source to a package whose numbers are those of the source's own framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet

from engines import registry
from engines.checks import verify
from engines.errors import PackageError
from engines.importing import import_model
from engines.importing.draft import axes_of
from engines.importing.export import Turned
from engines.package import load_package
from engines.pool import Pool
from engines.types import FloatArray, Grid, Volume
from tests.importing.sources import DATASET, INFERENCE, METADATA, NETWORK, inference, plans

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


def monai_unet() -> torch.nn.Module:
    torch.manual_seed(0)
    network = UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"})
    with torch.no_grad():  # fresh running statistics would hide a wrong order of channels
        for each in network.modules():
            if isinstance(each, torch.nn.BatchNorm3d):
                each.running_mean.uniform_(-0.5, 0.5)
                each.running_var.uniform_(0.5, 2)
    return network.eval()


def bundle(folder: Path, configuration: dict[str, Any] | None = None) -> torch.nn.Module:
    network = monai_unet()
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "configs" / "inference.json").write_text(json.dumps(configuration or inference()))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return network


def nnunet(folder: Path, **configuration: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = {
        "conv_op": torch.nn.Conv3d,
        "norm_op": torch.nn.InstanceNorm3d,
        "nonlin": torch.nn.LeakyReLU,
    }
    kwargs = {**ARCHITECTURE["arch_kwargs"], **layers}
    network = PlainConvUNet(1, num_classes=3, deep_supervision=False, **kwargs).eval()
    (folder / "fold_0").mkdir(parents=True)
    made = plans(**{"architecture": ARCHITECTURE, **configuration})
    (folder / "plans.json").write_text(json.dumps(made))
    (folder / "dataset.json").write_text(json.dumps(DATASET))
    checkpoint = {"network_weights": network.state_dict(), "_best_ema": np.float64(0.9)}
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return network


def head_first_volume() -> Volume:
    """Blobs of 0 to 200 on a grid of 3 x 2 x 1.5 mm, axes of LPS.

    Half windows of 8 x 12 x 16 voxels cover it evenly, from whichever end they are counted.
    """
    k, j, i = np.mgrid[:24, :36, :48].astype(np.float32)
    voxels = 100 + 100 * np.sin(k / 3) * np.cos(j / 4 + 1) * np.sin(i / 5 + 0.3)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = 3, 2, 1.5, 1
    return Volume(voxels.astype(np.float32), Grid(voxels.shape, affine), "CT")


def test_a_bundle_passes_verification_and_its_axes_are_free(tmp_path):
    bundle(tmp_path / "bundle")
    made = import_model(tmp_path / "bundle", tmp_path / "package")
    package = load_package(made.root)
    assert made.kind == "monai-bundle"
    assert verify(package) == []
    session = registry.backend("onnx", threads=1).load(package, device="cpu")
    output = session.run({"image": np.zeros((2, 1, 8, 16, 24), np.float32)})["logits"]
    session.close()
    assert output.shape == (2, 2, 8, 16, 24)


def test_the_pool_labels_as_monai_does(tmp_path):
    # Constant weights, because MONAI's bell stands half a voxel beside the window's middle.
    evenly = {**INFERENCE["inferer"], "mode": "constant"}
    network = bundle(tmp_path / "bundle", inference(inferer=evenly))
    import_model(tmp_path / "bundle", tmp_path / "models" / "spleen")
    volume = head_first_volume()
    with Pool(tmp_path / "models", threads=1) as pool:
        result, _ = pool.run("spleen-ct", None, [volume])
    # MONAI reads (i, j, k) of RAS; the spacing is the volume's own.
    image = volume.voxels[:, ::-1, ::-1].transpose(2, 1, 0)
    window = np.clip((image + 57) / 221, 0, 1)[None, None].astype(np.float32)
    inferer = SlidingWindowInferer((32, 24, 16), 4, 0.5, mode="constant")
    with torch.no_grad():
        labels = inferer(torch.from_numpy(window), network)[0].argmax(0).numpy()
    expected = labels.transpose(2, 1, 0)[:, ::-1, ::-1]
    assert 0.05 < expected.mean() < 0.95
    assert np.mean(result.labelmap == expected) > 0.9999


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SLA"])
def test_turning_gives_the_network_its_own_axes(axcodes):
    seen: list[FloatArray] = []

    class Witness(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.numpy())
            return image

    # The value of each voxel is its place: 100 steps to the head, 10 to the back, 1 to the left.
    k, j, i = np.mgrid[:2, :3, :4].astype(np.float32)
    place = (100 * k + 10 * j + i)[None, None]
    back = Turned(Witness(), axes_of(axcodes))(torch.from_numpy(place)).numpy()
    steps = {"S": 100, "I": -100, "P": 10, "A": -10, "L": 1, "R": -1}
    for axis, letter in enumerate(axcodes, start=2):
        np.testing.assert_array_equal(np.diff(seen[0], axis=axis), steps[letter])
    np.testing.assert_array_equal(back, place)


def test_an_nnunet_result_gives_its_own_numbers(tmp_path):
    network = nnunet(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    made = import_model(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", tmp_path / "package")
    assert any("fold_0" in note for note in made.notes)
    with np.load(made.root / "selftest" / "case-1.npz") as case:
        with torch.no_grad():
            expected = network(torch.from_numpy(case["input"])).numpy()
        np.testing.assert_allclose(case["output"], expected, atol=1e-5)


def test_an_nnunet_result_with_exchanged_axes_gives_its_own_numbers(tmp_path):
    order = [1, 2, 0]
    network = nnunet(tmp_path / "result")
    made = plans(architecture=ARCHITECTURE)
    made["transpose_forward"] = order
    (tmp_path / "result" / "plans.json").write_text(json.dumps(made))
    root = import_model(tmp_path / "result", tmp_path / "package").root
    with np.load(root / "selftest" / "case-1.npz") as case:
        turned = case["input"].transpose(0, 1, *(2 + axis for axis in order)).copy()
        with torch.no_grad():
            expected = network(torch.from_numpy(turned)).numpy()
        answer = case["output"].transpose(0, 1, *(2 + axis for axis in order))
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_a_pickle_that_calls_something_is_not_read(tmp_path):
    bundle(tmp_path / "bundle")

    class Calls:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "called",)

    torch.save({"weight": Calls()}, tmp_path / "bundle" / "models" / "model.pt")
    with pytest.raises(PackageError, match=r"model\.pt"):
        import_model(tmp_path / "bundle", tmp_path / "package")
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("network", "named"),
    [
        ({"_target_": "os.system"}, "os.system"),
        ({"_target_": "scripts.nets.UNet"}, "scripts.nets.UNet"),
        ({**NETWORK, "channels": "$[4, 8]"}, "channels"),
        ({**NETWORK, "channels": [4, 16]}, "does not fit"),
        ({**NETWORK, "colour": "red"}, "colour"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_by_name(tmp_path, network, named):
    bundle(tmp_path / "bundle", inference(network_def=network))
    with pytest.raises(PackageError, match=named.replace(".", r"\.")):
        import_model(tmp_path / "bundle", tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_an_nnunet_layer_that_is_not_known_is_refused(tmp_path):
    kwargs = {**ARCHITECTURE["arch_kwargs"], "nonlin": "os.system"}
    nnunet(tmp_path / "result", architecture={**ARCHITECTURE, "arch_kwargs": kwargs})
    with pytest.raises(PackageError, match=r"os\.system"):
        import_model(tmp_path / "result", tmp_path / "package")


def torchscript(source: Path, **selftest: Any) -> torch.Tensor:
    """Write a TorchScript source from the manifest that the same network has as a bundle."""
    bundle(source.parent / "bundle")
    written = import_model(source.parent / "bundle", source.parent / "first").root
    manifest = yaml.safe_load((written / "manifest.yaml").read_text())
    source.mkdir()
    (source / "manifest.yaml").write_text(yaml.safe_dump({**manifest, "selftest": selftest}))
    example = torch.rand(1, 1, 16, 24, 32)
    torch.jit.trace(monai_unet(), example).save(str(source / "model.ts"))
    np.save(source / "example.npy", example.numpy()[0])
    return example


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_torchscript_network_takes_the_manifest_beside_it(tmp_path):
    example = torchscript(tmp_path / "script")
    made = import_model(tmp_path / "script", tmp_path / "second")
    assert made.kind == "torchscript"
    with np.load(made.root / "selftest" / "case-1.npz") as case:
        np.testing.assert_array_equal(case["input"], example.numpy())
        with torch.no_grad():
            np.testing.assert_allclose(case["output"], monai_unet()(example).numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_graph_with_other_numbers_than_asked_for_leaves_nothing_behind(tmp_path):
    torchscript(tmp_path / "script", tolerance={"max_abs": 1e-12})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PackageError, match="is off by"):
        import_model(tmp_path / "script", tmp_path / "second")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    bundle(tmp_path / "bundle")
    with pytest.raises(PackageError, match="not an empty folder"):
        import_model(tmp_path / "bundle", tmp_path / "bundle")
