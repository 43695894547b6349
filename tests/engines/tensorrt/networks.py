"""Networks with what precision acts on: convolutions and a normalisation."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def convolutions(*, scale: float = 1.0, norm: bool = True) -> bytes:
    """Make a small 3D network: convolution, instance norm, convolution to two classes."""
    rng = np.random.default_rng(0)

    def weights(name, *shape):
        values = (scale * rng.normal(0, 0.2, shape)).astype(np.float32)
        return numpy_helper.from_array(values, name)

    constants = [
        weights("w1", 4, 1, 3, 3, 3),
        weights("w2", 2, 4, 3, 3, 3),
        numpy_helper.from_array(np.ones(4, np.float32), "gain"),
        numpy_helper.from_array(np.zeros(4, np.float32), "shift"),
    ]
    middle = "normed" if norm else "first"
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["first"], pads=[1] * 6),
        helper.make_node("InstanceNormalization", ["first", "gain", "shift"], ["normed"]),
        helper.make_node("Relu", [middle], ["relu"]),
        helper.make_node("Conv", ["relu", "w2"], ["logits"], pads=[1] * 6),
    ]
    if not norm:
        del nodes[1]
    space = ["d0", "d1", "d2"]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, *space])
    wanted = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, *space])
    graph = helper.make_graph(nodes, "conv", [given], [wanted], constants)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
