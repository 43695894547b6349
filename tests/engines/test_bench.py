"""What a benchmark says of a model adds up."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines.backends.tensorrt.plans import Order
from engines.bench import floating_point_operations, measure, peak_gflops
from engines.bench.on_device import DEVICE_STAGES
from engines.bench.phantom import phantom
from engines.bench.stages import COARSE, STAGES
from engines.catalogue import packages
from engines.errors import BackendUnavailable
from engines.serving.coarse import coarse_pass
from tests.engines import builders
from tests.engines.tensorrt.fake import Fake
from tests.engines.tensorrt.test_on_device import packaged, volume

ON_HOST = tuple(stage for stage in STAGES if stage not in ("upload", "download"))
"""Of a sweep on the host."""

ON_DEVICE = (*DEVICE_STAGES, "finish")


def _graph(op, weight_shape, *, space=("d0", "d1"), **attributes):
    weight = onnx.numpy_helper.from_array(np.ones(weight_shape, np.float32), "weight")
    channels = weight_shape[0] if op == "ConvTranspose" else weight_shape[1]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, *space])
    wanted = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    node = helper.make_node(op, ["image", "weight"], ["out"], **attributes)
    graph = helper.make_graph([node], "one", [given], [wanted], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def test_a_convolution_costs_two_operations_for_each_weight_and_output_pixel():
    model = _graph("Conv", (8, 3, 3, 3), pads=[1, 1, 1, 1])
    expected = 2 * 3 * 3 * 3 * 8 * 16 * 20 * 2
    assert floating_point_operations(model, "image", (2, 3, 16, 20)) == expected


def test_a_transposed_convolution_costs_two_operations_for_each_weight_and_input_pixel():
    model = _graph("ConvTranspose", (4, 2, 2, 2), strides=[2, 2])
    assert floating_point_operations(model, "image", (1, 4, 5, 6)) == 2 * 4 * 5 * 6 * 2 * 2 * 2


def test_a_graph_without_convolutions_costs_nothing():
    assert floating_point_operations(builders.network(), "image", (1, 1, 4, 4, 4)) == 0


def test_the_peak_of_a_machine_is_more_than_nothing():
    assert peak_gflops() > 0


@pytest.mark.parametrize("shape", [(4, 6, 8), (3, 5, 7)])
def test_the_stages_of_a_swept_volume_add_up_to_its_time(tmp_path, shape):
    infer = {"mode": "sliding_window", "patch": [2, 4, 4], "overlap": 0.5}
    package = builders.package(tmp_path / "tiny", infer=infer)
    rounds = measure(package, phantom(package, shape), backend="onnx", threads=1, rounds=2)

    assert len(rounds.timings) == 2
    for timing in rounds.timings:
        assert set(timing.seconds) == set(ON_HOST)
        assert min(timing.seconds.values()) >= 0
        assert timing.total == pytest.approx(sum(timing.seconds.values()), abs=0.01)
        assert len(timing.shapes) == sum(rounds.input_shapes.values())
    assert set(rounds.input_shapes) == {(1, 1, 2, 4, 4)}
    assert min(rounds.seconds(stage) for stage in ("prepare", "infer", "inverse", "argmax")) > 0
    assert rounds.missing == dict.fromkeys(["upload", "download"], "nothing leaves the host")


def test_a_classifier_is_measured_in_one_call(tmp_path):
    package = builders.package(tmp_path / "tiny", task="classify", ndim=2)
    rounds = measure(package, phantom(package, (1, 16, 12)), backend="onnx", threads=1, rounds=1)
    assert rounds.input_shapes == {(1, 1, 16, 12): 1}
    assert rounds.stages == ("prepare", "infer", "finish")
    assert rounds.missing["argmax"] == "no such step in this package"


def on_paper(tmp_path, package, **device):
    """A backend of a device that is the host, with the package's plan."""
    backend = Fake(**device).backend(tmp_path / "plans")
    backend.build(package, Order("fp32"), device="cuda")
    return backend


def test_a_sweep_on_the_device_is_measured_there_stage_by_stage(tmp_path):
    package = packaged(tmp_path / "models")
    rounds = measure(package, [volume()], backend=on_paper(tmp_path, package), rounds=2)

    assert (rounds.device, rounds.way) == ("cuda", "swept on the device")
    assert rounds.stages == ON_DEVICE
    assert rounds.missing == {"argmax": "in inverse: one kernel does both"}
    for timing in rounds.timings:
        assert all(seconds > 0 for seconds in timing.seconds.values()), timing.seconds
        # The host does one thing after the other, so that the stages cannot add up to more.
        assert sum(timing.seconds.values()) <= timing.total
    on_host = measure(package, [volume()], backend="onnx", threads=1, rounds=1)
    assert rounds.input_shapes == on_host.input_shapes


def test_what_the_device_cannot_do_is_measured_on_the_host_with_the_reason(tmp_path):
    package = packaged(tmp_path / "models")
    backend = on_paper(tmp_path, package, no_kernels="the GPU kernels are not compiled")
    rounds = measure(package, [volume()], backend=backend, rounds=1)
    assert rounds.way == "swept on the host: the GPU kernels are not compiled"
    assert rounds.stages == ON_HOST


@pytest.mark.parametrize("place", ["onnx", "device"])
def test_a_coarse_pass_is_a_stage_of_its_own(tmp_path, place):
    windows = {"mode": "sliding_window", "patch": [8, 10, 12], "overlap": 0.5, "batch": 2}
    coarse = {"spacing_mm": [3.0, 3.0, 3.0], "margin_mm": 2.0}
    package = packaged(tmp_path / "models", infer={**windows, "coarse": coarse})
    backend = "onnx" if place == "onnx" else on_paper(tmp_path, package)
    first = coarse_pass(package, packages(tmp_path / "models"))
    rounds = measure(package, [volume()], backend=backend, rounds=1, coarse=first)
    stages = ON_HOST if place == "onnx" else ON_DEVICE
    assert rounds.stages == (COARSE, *stages)
    assert rounds.total > rounds.seconds(COARSE) > 0


def test_without_a_find_of_the_coarse_pass_there_is_no_other(tmp_path):
    windows = {"mode": "sliding_window", "patch": [8, 10, 12], "overlap": 0.5}
    coarse = {"spacing_mm": [3.0, 3.0, 3.0], "margin_mm": 2.0, "labels": [1]}
    labels = {1: {**builders.LUNG, "name": "never"}}
    package = packaged(
        tmp_path / "models",
        activation="sigmoid",
        classes=1,
        infer={**windows, "coarse": coarse},
        preprocess__normalize=[{"kind": "window", "a_min": 0, "a_max": 1e9}],
        postprocess__labels=labels,
    )
    image = volume()
    image.voxels[:] = 0
    first = coarse_pass(package, packages(tmp_path / "models"))
    rounds = measure(package, [image], backend="onnx", threads=1, rounds=1, coarse=first)
    assert rounds.stages == (COARSE,)
    assert rounds.overhead is None


def test_a_backend_that_is_not_there_is_said_so(tmp_path):
    package = builders.package(tmp_path / "tiny")
    with pytest.raises(BackendUnavailable, match="abacus"):
        measure(package, phantom(package, (2, 2, 2)), backend="abacus")


def test_the_phantom_lies_in_the_patient_with_lungs_on_both_sides(tmp_path):
    package = builders.package(tmp_path / "tiny")
    (volume,) = phantom(package, (60, 400, 500))
    assert volume.voxels.shape == volume.grid.shape == (60, 400, 500)
    assert volume.grid.spacing_mm == (1.25, 0.75, 0.75)
    middle = volume.voxels[30, 200]
    lungs = np.flatnonzero(np.diff((middle < -500).astype(int)))
    # Air, wall, lung, mediastinum, lung, wall, air: six borders.
    assert len(lungs) == 6
