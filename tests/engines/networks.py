"""Networks as they are in practice, small: what every backend must compute alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from engines.types import FloatArray


class _Weights:
    """Draws initializers and keeps them for the graph."""

    def __init__(self) -> None:
        self.drawn: list[Any] = []
        self._random = np.random.default_rng(0)

    def normal(self, *shape: int) -> str:
        scale = np.sqrt(2 / max(1, np.prod(shape[1:])))
        return self.keep(scale * self._random.standard_normal(shape, dtype=np.float32))

    def keep(self, values: FloatArray) -> str:
        name = f"w{len(self.drawn)}"
        self.drawn.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name


def unet(ndim: int) -> bytes:
    """Make a U-Net of two levels, one channel to two: an even number of voxels per axis.

    Strided convolution, instance norm, leaky ReLU, transposed convolution, linear resize.
    """
    weights, node = _Weights(), helper.make_node
    three, two, one = [3] * ndim, [2] * ndim, [1] * ndim
    pads = [1] * (2 * ndim)
    nodes = [
        node("Conv", ["image", weights.normal(4, 1, *three)], ["c"], pads=pads),
        node(
            "InstanceNormalization",
            ["c", weights.keep(np.linspace(0.5, 2, 4)), weights.normal(4)],
            ["n"],
        ),
        node("LeakyRelu", ["n"], ["a"], alpha=0.01),
        node("Conv", ["a", weights.normal(8, 4, *three)], ["d"], pads=pads, strides=two),
        node(
            "InstanceNormalization",
            ["d", weights.keep(np.linspace(0.5, 2, 8)), weights.normal(8)],
            ["e"],
        ),
        node("Relu", ["e"], ["f"]),
        node("ConvTranspose", ["f", weights.normal(8, 4, *two)], ["up"], strides=two),
        node(
            "Resize",
            ["f", "", weights.keep(np.array([1, 1, *two]))],
            ["wide"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
        node("Concat", ["up", "a", "wide"], ["all"], axis=1),
        node("Conv", ["all", weights.normal(2, 16, *one)], ["logits"]),
    ]
    return _model(nodes, weights, ndim)


def heavy(channels: int = 512) -> bytes:
    """Make a 3D network of ``27 * channels**2`` weights in its middle: 28 MB for 512."""
    weights, node = _Weights(), helper.make_node
    pads = [1] * 6
    nodes = [
        node("Conv", ["image", weights.normal(channels, 1, 3, 3, 3)], ["a"], pads=pads),
        node("Conv", ["a", weights.normal(channels, channels, 3, 3, 3)], ["b"], pads=pads),
        node("Conv", ["b", weights.normal(2, channels, 1, 1, 1)], ["logits"]),
    ]
    return _model(nodes, weights, 3)


def _model(nodes: list[Any], weights: _Weights, ndim: int) -> bytes:
    space = [f"d{axis}" for axis in range(ndim)]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, *space])
    wanted = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, *space])
    graph = helper.make_graph(nodes, "network", [given], [wanted], weights.drawn)
    opsets = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()
    return content
