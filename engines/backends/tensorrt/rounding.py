"""An fp16 graph as a GPU computes it, for a processor that would cheat.

ONNX Runtime has few fp16 operators for CPUs: it computes in float32 and leaves out the
rounding between two of them, so that nothing overflows. Here every half-precision tensor is
rounded by a pair of casts that it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def rounded(model: bytes) -> bytes:
    """Rewrite an fp16 graph in float32 with every half-precision result rounded to fp16.

    Parameters
    ----------
    model
        An ONNX file with float32 inputs and outputs, as
        `engines.backends.tensorrt.precision.variant` makes it.

    Returns
    -------
    bytes
        An ONNX file that gives the same numbers as fp16 with sums in float32, infinities
        included.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    typed = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    graph = typed.graph
    half = {
        value.name
        for value in graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    for tensor in _constants(graph):
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    nodes = []
    for node in graph.node:
        rounding = [name for name in node.output if name in half]
        if node.op_type == "Cast" and rounding:
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("to", TensorProto.FLOAT))
        for number, name in enumerate(node.output):
            if name in half:
                node.output[number] = f"{name}/wide"
        nodes.append(node)
        for name in rounding:
            nodes += _rounding(name)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    content: bytes = typed.SerializeToString()
    return content


def _rounding(name: str) -> Iterator[Any]:
    from onnx import TensorProto, helper

    yield helper.make_node("Cast", [f"{name}/wide"], [f"{name}/half"], to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT)


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


__all__ = ["rounded"]
