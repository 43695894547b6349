"""Fewer bits only where the answers stay the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from engines.backends.tensorrt.parity import LIMITS, Limits, Parity, area, compare
from engines.backends.tensorrt.precision import variant
from engines.backends.tensorrt.rounding import rounded
from engines.errors import PackageError
from tests.engines import builders
from tests.engines.tensorrt.networks import convolutions

INPUTS = (builders.noise(1, 1, 12, 12, 12, seed=1), builders.noise(1, 1, 12, 12, 12, seed=2))


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_model_from_string(model).graph.node)


def type_of(model: bytes, name: str) -> int:
    """Element type of a tensor inside the graph, inferred."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)).graph
    values = {value.name: value for value in [*graph.value_info, *graph.input, *graph.output]}
    return values[name].type.tensor_type.elem_type


def test_fp32_is_the_file_itself():
    model = convolutions()
    assert variant(model, "fp32") is model


def test_fp16_convolves_in_half_and_normalises_in_full_precision():
    half = variant(convolutions(), "fp16")
    types = {
        node.op_type: type_of(half, node.input[0])
        for node in onnx.load_model_from_string(half).graph.node
        if node.op_type in ("Conv", "InstanceNormalization")
    }
    assert types == {"Conv": TensorProto.FLOAT16, "InstanceNormalization": TensorProto.FLOAT}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_inputs_and_outputs_stay_float32(precision):
    made = variant(convolutions(), precision, calibration=INPUTS)
    assert type_of(made, "image") == type_of(made, "logits") == TensorProto.FLOAT


def test_int8_is_written_as_symmetric_pairs_without_quantized_biases():
    made = variant(convolutions(), "int8", calibration=INPUTS)
    graph = onnx.load_model_from_string(made).graph
    points = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    zeros = [points[n.input[2]] for n in graph.node if n.op_type == "DequantizeLinear"]
    assert operators(made)["QuantizeLinear"] >= 4
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)


def test_int8_without_anything_to_calibrate_with_is_refused():
    with pytest.raises(PackageError, match="int8 needs inputs to calibrate with"):
        variant(convolutions(), "int8")


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(PackageError, match="there are fp32, fp16, int8"):
        variant(convolutions(), "fp4", calibration=INPUTS)


def test_a_file_that_is_no_graph_is_refused():
    with pytest.raises(PackageError, match="cannot be rewritten in fp16"):
        variant(b"not a graph", "fp16")


def test_fp16_that_agrees_passes_its_gate():
    model = convolutions()
    half = rounded(variant(model, "fp16"))
    found = compare(model, half, INPUTS, wanted="logits", activation="softmax")
    assert found.findings(LIMITS["fp16"]) == []
    assert 0 < found.largest < 0.01
    assert found.dice is not None
    assert found.dice > 0.99


def test_fp16_that_overflows_is_a_finding_though_the_cpu_computes_in_float32():
    model = convolutions(scale=300, norm=False)
    half = rounded(variant(model, "fp16"))
    found = compare(model, half, INPUTS, wanted="logits", activation="softmax")
    assert found.findings(LIMITS["fp16"])[0] == "an output is not finite"


def test_rounding_reaches_every_half_precision_tensor():
    half = variant(convolutions(), "fp16")
    casts = Counter(
        node.attribute[0].i
        for node in onnx.load_model_from_string(rounded(half)).graph.node
        if node.op_type == "Cast"
    )
    convolved = [
        node
        for node in onnx.load_model_from_string(half).graph.node
        if type_of(half, node.output[0]) == TensorProto.FLOAT16
    ]
    assert casts[TensorProto.FLOAT16] == len(convolved) > 2
    assert type_of(rounded(half), "logits") == TensorProto.FLOAT


def test_a_network_compared_with_itself_has_no_difference():
    model = convolutions()
    assert compare(model, model, INPUTS, wanted="logits", activation="softmax") == Parity(
        0.0, 1.0, None
    )


def test_classifiers_are_compared_by_probability_and_area():
    model = builders.network(kind="mean")
    inputs = [builders.noise(1, 1, 4, 4, 4) + shift for shift in (-2, 1, -1, 2)]
    found = compare(model, model, inputs, wanted="logits", activation="softmax")
    assert found == Parity(0.0, None, 1.0)


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([False, False, True, True], [0.1, 0.4, 0.35, 0.8], 0.75),
        ([False, True], [0.5, 0.5], 0.5),
        ([True, True], [0.1, 0.9], None),
    ],
)
def test_area_under_the_curve_counts_pairs_in_order(truth, scores, expected):
    assert area(np.array(truth), np.array(scores, np.float32)) == expected


def test_every_limit_that_is_broken_is_named_with_its_numbers():
    findings = Parity(0.2, 0.9, 0.8).findings(Limits(dice=0.99, auc=0.95, largest=0.1))
    assert findings == [
        "a probability differs by 0.2; 0.1 is allowed",
        "Dice is 0.9000; 0.99 is the least allowed",
        "AUC is 0.8000; 0.95 is the least allowed",
    ]


def test_a_number_that_is_none_is_a_finding():
    assert Parity(float("nan"), None, None).findings(Limits())
