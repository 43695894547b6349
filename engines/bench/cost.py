"""What a graph costs and what the machine could do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

PEAK_SIZE = 1536
"""Rows and columns of the matrices whose product shows the machine's peak."""

PEAK_ROUNDS = 5

Shapes = Mapping[str, tuple[int, ...]]


def peak_gflops() -> float:
    """Measure the peak of one core, 10⁹ floating-point operations a second of processor time.

    The best of several float32 matrix products by the BLAS of NumPy. Processor time and not
    time on the wall, because on a machine that does other work too the peak and what is
    compared with it would lose different shares of it.
    """
    left = np.random.default_rng(0).random((PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    best = math.inf
    for _ in range(PEAK_ROUNDS):
        start = time.process_time()
        np.matmul(left, left)
        best = min(best, time.process_time() - start)
    return 2 * PEAK_SIZE**3 / best / 1e9


def floating_point_operations(model: bytes, name: str, shape: tuple[int, ...]) -> int | None:
    """Count the operations of the convolutions and matrix products of a graph.

    A multiplication with its addition counts as two. Everything else of a network (activations,
    normalisation, pooling) is a few operations a voxel and is not counted.

    Parameters
    ----------
    model
        The ONNX file.
    name, shape
        Its input and the shape given to it.

    Returns
    -------
    int or None
        None where the onnx package is not installed, or cannot tell the shapes inside.
    """
    if find_spec("onnx") is None:
        return None
    import onnx

    graph = onnx.load_model_from_string(model)
    given = next(entry for entry in graph.graph.input if entry.name == name)
    for dimension, extent in zip(given.type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = extent
    del graph.graph.output[:]  # they may name dimensions that now have a number
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    shapes: dict[str, tuple[int, ...]] = {
        weight.name: tuple(weight.dims) for weight in inferred.initializer
    }
    for value in (*inferred.input, *inferred.value_info):
        extents = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(extent.dim_value for extent in extents)
    total = 0
    for node in inferred.node:
        if count := _COUNTS.get(node.op_type):
            try:
                total += count(node, shapes)
            except KeyError:
                return None
    return total


def _convolution(node: Any, shapes: Shapes) -> int:
    """Each output voxel sees every weight of its channel."""
    weight = shapes[node.input[1]]
    return 2 * math.prod(_output(node, shapes)) * math.prod(weight[1:])


def _transposed(node: Any, shapes: Shapes) -> int:
    """Each input voxel is spread by every weight of its channel."""
    weight = shapes[node.input[1]]
    return 2 * math.prod(shapes[node.input[0]]) * math.prod(weight[1:])


def _product(node: Any, shapes: Shapes) -> int:
    left = shapes[node.input[0]]
    inner = left[0] if _attribute(node, "transA") else left[-1]
    return 2 * math.prod(_output(node, shapes)) * inner


def _output(node: Any, shapes: Shapes) -> tuple[int, ...]:
    shape = shapes[node.output[0]]
    if not all(shape):
        raise KeyError(node.output[0])
    return shape


def _attribute(node: Any, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


_COUNTS: dict[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "Gemm": _product,
}

__all__ = ["floating_point_operations", "peak_gflops"]
