"""A study's whole way on the device, through the pool, and what is done where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from engines.backends.tensorrt.plans import Order
from engines.errors import DeviceLost, InputError
from engines.pool import Pool
from tests.engines import builders
from tests.engines.device.test_sweep import TURN, convolution, ct
from tests.engines.tensorrt.fake import Fake

ON_DEVICE = "swept on the device"
GRID = builders.grid((15, 21, 27), spacing=(2.0, 1.0, 3.0), turn=TURN)
WINDOWS = {"mode": "sliding_window", "patch": [8, 10, 12], "overlap": 0.5, "batch": 4}
HU = {"kind": "window", "a_min": -1000, "a_max": 1000}


def packaged(models, *, classes=3, inputs=1, activation="softmax", **changes):
    """Write a package of a convolution into a folder of packages."""
    first = 0 if activation == "sigmoid" else 1
    channels = [{"name": f"CT{number}"} for number in range(inputs)]
    settings = {
        "model__inputs": [
            {"name": "image", "layout": "NCDHW", "dtype": "float32", "channels": channels}
        ],
        "model__outputs": [{"name": "logits", "kind": "logits", "channels": classes}],
        "infer": WINDOWS,
        "postprocess__activation": activation,
        "postprocess__labels": {
            number: {**builders.LUNG, "name": f"label {number}"}
            for number in range(1, classes + 1 - first)
        },
        "postprocess__measurements": ["volume_ml"],
        "preprocess__orientation": "LPS",
        "preprocess__spacing_mm": [1.5, 1.5, 1.5],
        "preprocess__normalize": [{"kind": "zscore"}],
        **changes,
    }
    return builders.package(models / "tiny", model=convolution(inputs, classes), **settings)


def volume(*, seed=0, scale=1.0, padding=None):
    voxels = ct(GRID.shape, seed=seed).astype(np.float32) * np.float32(scale)
    return builders.volume(voxels, on=GRID, padding=padding)


def opened(fake, tmp_path, package, *more, precision="fp32"):
    """A pool on a backend that has the package's plan, and what comes after that backend."""
    backend = fake.backend(tmp_path / "plans")
    backend.build(package, Order(precision), device="cuda")
    return Pool(package.root.parent, [backend, *more])


def on_the_host(package, *volumes):
    with Pool(package.root.parent) as pool:
        return pool.run("tiny", None, volumes)[0]


def on_the_device(tmp_path, package, *volumes):
    with opened(Fake(), tmp_path, package, "onnx") as pool:
        return pool.run("tiny", None, volumes)[0]


def assert_same(found, expected):
    """At most one voxel of a thousand differs, as docs/reference/performance.md has it."""
    assert len(np.unique(expected.labelmap)) > 1, "the example shows nothing"
    assert (found.labelmap != expected.labelmap).mean() <= 0.001


def check(tmp_path, package, *volumes, fake=None, notes=(ON_DEVICE,)):
    """Run through the pool and compare with the host; the fake, to look at what it saw."""
    fake = fake or Fake()
    with opened(fake, tmp_path, package, "onnx") as pool:
        found, provenance = pool.run("tiny", None, volumes)
    assert_same(found, on_the_host(package, *volumes))
    assert provenance.backend == "tensorrt"
    assert provenance.notes == notes
    assert fake.device.used == 0
    return fake


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_sweep_on_the_device_gives_the_labels_of_the_host_and_says_so(tmp_path, activation):
    check(tmp_path, packaged(tmp_path / "models", activation=activation), volume())


def test_what_goes_up_is_two_bytes_a_voxel_and_down_comes_one(tmp_path):
    fake = check(tmp_path, packaged(tmp_path / "models"), volume())
    voxels = int(np.prod(GRID.shape))
    tables = 20_000
    assert 2 * voxels < fake.device.bytes_up < 2 * voxels + tables
    assert voxels < fake.device.bytes_down < voxels + 100


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("step", [{"kind": "zscore"}, {"kind": "minmax"}, HU], ids=str)
def test_whole_numbers_are_the_same_as_int16_and_as_float32(tmp_path, padded, step):
    package = packaged(
        tmp_path / "models",
        preprocess__normalize=[step],
        preprocess__crop={"above": -500, "margin_mm": 5},
        postprocess__measurements=["volume_ml", "mean_hu"],
    )
    wide = volume()
    wide.voxels[0, :2] = np.array([[-32768], [32767]])  # a difference that int16 cannot hold
    if padded:
        wide = replace(wide, padding=wide.voxels < -800)
    narrow = replace(wide, voxels=wide.voxels.astype(np.int16))

    for run in (on_the_host, partial(on_the_device, tmp_path)):
        found, expected = run(package, narrow), run(package, wide)
        assert len(np.unique(expected.labelmap)) > 1, "the example shows nothing"
        assert np.array_equal(found.labelmap, expected.labelmap)
        for one, other in zip(found.measurements, expected.measurements, strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-6)


def test_voxels_that_are_no_whole_numbers_go_up_as_they_are(tmp_path):
    fake = check(tmp_path, packaged(tmp_path / "models"), volume(scale=1 / 7))
    assert fake.device.bytes_up > 4 * int(np.prod(GRID.shape))


def test_channels_crop_labels_left_out_and_clean_up_are_those_of_the_host(tmp_path):
    package = packaged(
        tmp_path / "models",
        inputs=2,
        preprocess__crop={"above": -5000, "margin_mm": 1.0},
        postprocess__labels={2: {**builders.LUNG}},
        postprocess__steps=[{"keep_largest": {"labels": [2]}}],
    )
    images = volume(), volume(seed=1)
    for image in images:
        image.voxels[:5] = image.voxels[:, :, 20:] = -6000
    fake = check(tmp_path, package, *images)
    assert fake.device.bytes_down < int(np.prod(GRID.shape)), "the crop shows nothing"


def test_regions_paint_on_the_device_as_on_the_host(tmp_path):
    package = packaged(
        tmp_path / "models",
        activation="sigmoid",
        postprocess__regions=[2, 1, 3],
    )
    check(tmp_path, package, volume())


def test_windows_of_air_are_not_run_there_either(tmp_path):
    package = packaged(
        tmp_path / "models",
        infer={**WINDOWS, "batch": 1, "skip_empty": True},
        preprocess__normalize=[HU],
    )
    image = volume()
    image.voxels[:, :, 9:] = -2000
    fake = check(tmp_path, package, image)
    all_windows = Fake()
    full = packaged(
        tmp_path / "others",
        infer={**WINDOWS, "batch": 1},
        preprocess__normalize=[HU],
    )
    check(tmp_path / "others", full, image, fake=all_windows)
    runs = [each.counted()["execute_async_v3"] for each in (fake, all_windows)]
    assert 0 < runs[0] < runs[1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"preprocess__normalize": [{"kind": "percentile", "lower": 1, "upper": 99}]},
            "normalisation by percentile is not done on the device",
        ),
        (
            {"preprocess__normalize": [{"kind": "minmax"}]},
            "normalisation by minmax is not done on the device",
        ),
    ],
)
def test_what_the_kernels_do_not_do_is_swept_on_the_host_with_the_reason(tmp_path, changes, reason):
    package = packaged(tmp_path / "models", **changes)
    check(tmp_path, package, volume(), notes=(f"swept on the host: {reason}",))


def test_padding_must_not_count_where_statistics_are_taken(tmp_path):
    padding = np.zeros(GRID.shape, dtype=np.bool_)
    padding[:, :4] = True
    package = packaged(tmp_path / "models")
    reason = "the image has padding, which zscore must not count"
    image = volume(padding=padding)
    check(tmp_path, package, image, notes=(f"swept on the host: {reason}",))
    package = packaged(tmp_path / "others", preprocess__normalize=[HU])
    check(tmp_path / "others", package, image)


def test_a_device_without_kernels_runs_the_network_and_the_host_sweeps(tmp_path):
    lacking = "the GPU kernels are not compiled (kernels.fatbin is missing); run: make kernels"
    fake = Fake(no_kernels=lacking)
    package = packaged(tmp_path / "models")
    check(tmp_path, package, volume(), fake=fake, notes=(f"swept on the host: {lacking}",))
    assert fake.counted()["execute_async_v3"] > 0


def allocations(tmp_path):
    """How many allocations one run takes."""
    return check(tmp_path / "counted", packaged(tmp_path / "counted"), volume()).device.allocations


def test_whichever_allocation_fails_a_smaller_batch_runs_and_nothing_is_kept(tmp_path):
    package = packaged(tmp_path / "models")
    expected = on_the_host(package, volume())
    for number in range(1, allocations(tmp_path) + 1):
        fake = Fake(full_at=number)
        with opened(fake, tmp_path, package) as pool:
            found, provenance = pool.run("tiny", None, [volume()])
        assert_same(found, expected)
        assert provenance.notes == ("no memory for batch 4: batch 2", ON_DEVICE), number
        assert fake.device.used == 0, number


HOST_SWEEP_NEEDS = 8 * 4 * 8 * 10 * 12
"""Bytes of one window's input and of three output channels, and of the plan's scratch memory."""


def test_a_device_with_room_for_windows_only_leaves_the_sweep_to_the_host(tmp_path):
    fake = Fake(room=2 * HOST_SWEEP_NEEDS)
    package = packaged(tmp_path / "models")
    with opened(fake, tmp_path, package) as pool:
        found, provenance = pool.run("tiny", None, [volume()])
        _, again = pool.run("tiny", None, [volume()])
    assert_same(found, on_the_host(package, volume()))
    smaller, one, host = provenance.notes
    assert (smaller, one) == ("no memory for batch 4: batch 2", "no memory for batch 2: batch 1")
    assert host.startswith("swept on the host: the device has ")
    assert again.notes == provenance.notes
    assert fake.device.used == 0


def test_a_device_without_any_room_leaves_all_to_the_processor(tmp_path):
    package = packaged(tmp_path / "models")
    with opened(Fake(room=1000), tmp_path, package, "onnx") as pool:
        found, provenance = pool.run("tiny", None, [volume()])
    assert_same(found, on_the_host(package, volume()))
    assert (provenance.backend, provenance.device) == ("onnx", "cpu")
    assert [note.split(":")[0] for note in provenance.notes] == [
        "no memory for batch 4",
        "no memory for batch 2",
        "swept on the host",
        "onnx on cpu instead of tensorrt on cuda",
    ]


def test_an_output_that_half_precision_cannot_hold_is_computed_again_in_full(tmp_path):
    package = half_precision(tmp_path)
    fake = Fake()
    backend = fake.backend(tmp_path / "plans")
    for precision in ("fp32", "fp16"):
        backend.build(package, Order(precision), device="cuda")
    image = builders.volume(np.where(builders.noise(9, 12, 14) > 0.5, 9000.0, -9000.0))
    with Pool(package.root.parent, backend) as pool:
        found, provenance = pool.run("tiny", None, [image])
    assert np.array_equal(found.labelmap, on_the_host(package, image).labelmap)
    assert provenance.notes == ("the output in fp16 was not finite: computed in fp32", ON_DEVICE)


def half_precision(tmp_path):
    """Write a package whose output is ten times what half precision holds, on such an image."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    batch = builders.noise(1, 1, 8, 10, 12)
    np.savez(
        folder / "case.npz", input=batch, output=np.concatenate([batch * 0, 20 * batch - 10], 1)
    )
    return builders.package(
        folder,
        infer=WINDOWS,
        model__precision={"allowed": ["fp32", "fp16"], "default": "fp16"},
        selftest={"cases": ["case.npz"]},
    )


def test_a_device_that_is_lost_in_a_sweep_is_lost_to_the_pool(tmp_path):
    fake = Fake({"execute_async_v3": False}, says="an illegal memory access was encountered")
    package = packaged(tmp_path / "models")
    with opened(fake, tmp_path, package, "onnx") as pool:
        with pytest.raises(DeviceLost, match="illegal memory access"):
            pool.run("tiny", None, [volume()])
        with pytest.raises(DeviceLost, match="lost before"):
            pool.run("tiny", None, [volume()])


def test_images_that_do_not_fit_are_refused_before_the_device_sees_them(tmp_path):
    fake = Fake()
    package = packaged(tmp_path / "models")
    image = volume()
    image.voxels[3, 3, 3] = np.inf
    with opened(fake, tmp_path, package) as pool, pytest.raises(InputError, match="not finite"):
        pool.run("tiny", None, [image])
    assert fake.device.allocations == 0
