"""The device's path gives the labels of the reference.

The host stands for the device: it runs the kernels' own sources. ONNX Runtime is the
network, on the memory that the kernels write and read.
"""

from __future__ import annotations

import ctypes

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engines.api import WindowPlan
from engines.device.host import HostApi
from engines.device.prepare import Stored
from engines.device.sweep import Recipe, segment
from engines.errors import InputError, NotFinite, NotOnDevice, OutOfMemory
from engines.tasks.activation import activate
from engines.tasks.image import route
from engines.tasks.on_device import label_names
from engines.tasks.segment import SegmentTask
from engines.types import Volume
from engines.window import stitch, sweep
from tests.engines import builders

TIE = 1e-4
"""Probabilities this close together may fall either way."""


class OnnxOnHost:
    """ONNX Runtime on addresses; runs when the stream comes to it."""

    def __init__(self, model: bytes, channels: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.runtime = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.channels, self.windows = channels, 0

    def run(self, batch):
        return self.runtime.run(None, {"image": batch})[0]

    def enqueue(self, given, made, shape, stream):
        def work():
            self.windows += shape[0]
            output = array(made, (shape[0], self.channels, *shape[2:]))
            output[:] = self.run(array(given, shape).copy())

        stream.call(work)


def array(address, shape):
    """See memory at an address as a float32 array."""
    return np.ctypeslib.as_array(
        (ctypes.c_float * int(np.prod(shape))).from_address(address)
    ).reshape(shape)


def convolution(inputs: int, classes: int, *, scale: float = 6.0) -> bytes:
    """Make a network whose output depends on a voxel's neighbours: a 3 × 3 × 3 convolution."""
    random = np.random.default_rng(classes)
    kernel = random.normal(0, scale / np.sqrt(27 * inputs), (classes, inputs, 3, 3, 3))
    bias = random.normal(0, 0.3, classes)
    weights = [
        onnx.numpy_helper.from_array(kernel.astype(np.float32), "kernel"),
        onnx.numpy_helper.from_array(bias.astype(np.float32), "bias"),
    ]
    node = helper.make_node("Conv", ["image", "kernel", "bias"], ["logits"], pads=[1] * 6)
    space = ["d0", "d1", "d2"]
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", inputs, *space])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes, *space])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return content


def packaged(tmp_path, *, classes=2, inputs=1, activation="softmax", **changes):
    """Load a package of a convolution with window 8 × 10 × 12."""
    first = 0 if activation == "sigmoid" else 1
    labels = {
        number: {**builders.LUNG, "name": f"label {number}"}
        for number in range(1, classes + 1 - first)
    }
    channels = [{"name": f"CT{number}"} for number in range(inputs)]
    settings = {
        "model__inputs": [
            {"name": "image", "layout": "NCDHW", "dtype": "float32", "channels": channels}
        ],
        "model__outputs": [{"name": "logits", "kind": "logits", "channels": classes}],
        "infer": {"mode": "sliding_window", "patch": [8, 10, 12], "overlap": 0.5, "batch": 3},
        "postprocess__activation": activation,
        "postprocess__labels": labels,
        "preprocess__orientation": "LPS",
        "preprocess__normalize": [{"kind": "zscore"}],
        **changes,
    }
    return builders.package(tmp_path / "package", model=convolution(inputs, classes), **settings)


def recipe_of(package, grid, plan):
    way = route(package, grid)
    manifest = package.manifest
    return Recipe(
        way.orientation,
        way.sampling,
        manifest.preprocess.normalize,
        plan,
        manifest.model.outputs[0].channels,
        manifest.postprocess.activation,
        label_names(package),
    )


def ct(shape, *, seed=0):
    """Make int16 voxels that are smooth enough to have regions."""
    noise = np.random.default_rng(seed).normal(0, 400, shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis)
    return noise.astype(np.int16)


TURN = np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]], dtype=np.float64)


def compare(package, grid, stored, *, order="late", plan=None, room=1 << 30):
    """Run both ways; the labels, where they differ, and how far apart the best two are there."""
    volumes = [
        Volume(
            v.voxels.astype(np.float32) * np.float32(v.slope) + np.float32(v.intercept), grid, "CT"
        )
        for v in stored
    ]
    task = SegmentTask()
    prepared = task.prepare(package, volumes)
    plan = plan or prepared.window
    network = OnnxOnHost(
        package.model_path.read_bytes(), package.manifest.model.outputs[0].channels
    )
    output = stitch(sweep(network.run, prepared.tensor, plan))
    expected = task.finish(package, output, prepared, volumes).labelmap
    api = HostApi(order=order, room=room)
    found = segment(api, network, stored, recipe_of(package, grid, plan))
    assert api.used == 0
    margin = _margins(package, grid, output)
    return found, expected, margin


def _margins(package, grid, output):
    """How far the best channel is from the next, or from the threshold, on the source."""
    way = route(package, grid)
    activation = package.manifest.postprocess.activation
    values = np.stack([way.sampling.backward(one) for one in activate(output, activation)])
    if activation == "sigmoid":
        values = np.concatenate([values, np.full((1, *values.shape[1:]), np.float32(0.5))])
    best = np.sort(values, axis=0)
    return way.orientation.undo(best[-1] - best[-2])


def assert_same(found, expected, margin):
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert len(np.unique(expected)) > 1, "the example shows nothing"
    differ = found != expected
    assert differ.mean() <= 0.001
    assert (margin[differ] <= TIE).all()


@pytest.mark.parametrize("order", ["late", "early"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(
    "spacing",
    [(2.0, 2.0, 2.0), (0.8, 1.1, 1.0), (3.7, 1.3, 2.9)],
    ids=["growing", "shrinking", "mixed"],
)
def test_labels_are_those_of_the_reference(tmp_path, order, activation, classes, spacing):
    """Spacing of the source; the network wants 1.5 mm."""
    package = packaged(
        tmp_path,
        classes=classes,
        activation=activation,
        preprocess__spacing_mm=[1.5, 1.5, 1.5],
    )
    grid = builders.grid((15, 21, 27), spacing=spacing[::-1], turn=TURN)
    assert_same(*compare(package, grid, [Stored(ct(grid.shape))], order=order))


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 30, 6), (20, 4, 30), (8, 10, 12)])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_volumes_smaller_than_the_window_are_padded(tmp_path, shape, blend):
    package = packaged(tmp_path, infer__blend=blend)
    assert_same(*compare(package, builders.grid(shape), [Stored(ct(shape))]))


def test_float32_voxels_slope_and_every_normalisation_count(tmp_path):
    window = {"kind": "window", "a_min": -1000, "a_max": 900, "b_min": -1, "b_max": 2}
    steps = [
        window,
        {"kind": "ct_clip_zscore", "lower": -0.5, "upper": 1.5, "mean": 0.4, "std": 0.7},
        {"kind": "zscore"},
    ]
    package = packaged(tmp_path, preprocess__normalize=steps)
    grid = builders.grid((11, 13, 14))
    stored = Stored(ct(grid.shape).astype(np.float32) / 7, slope=9.0, intercept=-90.0)
    assert_same(*compare(package, grid, [stored]))


def test_channels_of_a_model_are_prepared_each_by_itself(tmp_path):
    package = packaged(tmp_path, inputs=2, preprocess__spacing_mm=[1.5, 1.5, 1.5])
    grid = builders.grid((9, 20, 6), spacing=(2.0, 1.0, 1.0))
    stored = [Stored(ct(grid.shape)), Stored(ct(grid.shape, seed=1), slope=3.0)]
    assert_same(*compare(package, grid, stored))


@pytest.mark.parametrize("order", ["late", "early"])
def test_windows_without_anything_are_not_run(tmp_path, order):
    window = {"kind": "window", "a_min": -1000, "a_max": 1000}
    package = packaged(tmp_path, classes=3, preprocess__normalize=[window])
    voxels = np.full((24, 20, 24), -1000, np.int16)
    voxels[10:20, 5:20, :9] = ct((10, 15, 9))
    plan = WindowPlan((8, 10, 12), 0.5, "gaussian", 2, skip_at_most=0.0, skipped=(4.0, -3.0))
    grid = builders.grid(voxels.shape)
    network = OnnxOnHost(package.model_path.read_bytes(), 3)
    segment(HostApi(order=order), network, [Stored(voxels)], recipe_of(package, grid, plan))
    assert 0 < network.windows < 5 * 3 * 3
    assert_same(*compare(package, grid, [Stored(voxels)], plan=plan, order=order))


def test_memory_for_the_output_is_a_slab_and_not_the_volume(tmp_path):
    package = packaged(tmp_path, classes=5)
    grid = builders.grid((600, 10, 12))
    voxels = 600 * 10 * 12
    # Voxels as int16, as float32 and as labels; a third of the output for all the rest.
    room = (2 + 4 + 1) * voxels + 4 * 5 * voxels // 3
    assert_same(*compare(package, grid, [Stored(ct(grid.shape))], room=room))


def test_a_device_without_room_says_so_and_keeps_nothing(tmp_path):
    package = packaged(tmp_path)
    grid = builders.grid((20, 20, 20))
    api = HostApi(room=40_000)
    recipe = recipe_of(package, grid, WindowPlan((8, 10, 12), 0.5, "gaussian"))
    network = OnnxOnHost(package.model_path.read_bytes(), 2)
    with pytest.raises(OutOfMemory):
        segment(api, network, [Stored(ct(grid.shape))], recipe)
    assert api.used == 0


def test_an_output_that_is_not_finite_is_said_to_be_so(tmp_path):
    package = packaged(tmp_path, preprocess__normalize=[])
    grid = builders.grid((9, 12, 14))
    voxels = ct(grid.shape).astype(np.float32)
    voxels[4, 4, 4] = np.float32(3e38)
    recipe = recipe_of(package, grid, WindowPlan((8, 10, 12), 0.5, "gaussian"))
    network = OnnxOnHost(convolution(1, 2, scale=1000), 2)
    with pytest.raises(NotFinite, match="not finite"):
        segment(HostApi(), network, [Stored(voxels)], recipe)


def test_what_the_device_cannot_follow_is_refused(tmp_path):
    step = {"kind": "percentile", "lower": 1, "upper": 99}
    package = packaged(tmp_path, preprocess__normalize=[step])
    grid = builders.grid((9, 12, 14))
    recipe = recipe_of(package, grid, WindowPlan((8, 10, 12), 0.5, "gaussian"))
    network = OnnxOnHost(package.model_path.read_bytes(), 2)
    with pytest.raises(NotOnDevice, match="percentile"):
        segment(HostApi(), network, [Stored(ct(grid.shape))], recipe)


@pytest.mark.parametrize(
    "voxels", [np.zeros((9, 12, 13), np.int16), np.zeros((9, 12, 14), np.float64)]
)
def test_voxels_of_another_shape_or_type_are_refused(tmp_path, voxels):
    package = packaged(tmp_path)
    grid = builders.grid((9, 12, 14))
    recipe = recipe_of(package, grid, WindowPlan((8, 10, 12), 0.5, "gaussian"))
    network = OnnxOnHost(package.model_path.read_bytes(), 2)
    with pytest.raises(InputError, match=r"expected|float64"):
        segment(HostApi(), network, [Stored(voxels)], recipe)
