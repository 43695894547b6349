"""The same graph in fewer bits: types and Q/DQ pairs written into the ONNX file itself.

A strongly typed plan takes its types from the graph. The packages ``onnx`` and
``onnxruntime`` make the variants; they are imported only here, only for a build.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engines.errors import BackendUnavailable, PackageError
from engines.types import FloatArray

PRECISIONS = ("fp32", "fp16", "int8")

KEEP = (
    "Exp",
    "GlobalAveragePool",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Pow",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "Softmax",
    "Sqrt",
)
"""Operators that stay in float32: sums over many voxels and functions that leave fp16's range.

Instance normalisation in fp16 is a known source of empty masks
(github.com/MIC-DKFZ/nnUNet issues 2874 and 3026).
"""

_QUANTIZED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def variant(
    model: bytes,
    precision: str,
    *,
    keep: Sequence[str] = KEEP,
    calibration: Sequence[FloatArray] = (),
) -> bytes:
    """Rewrite a float32 graph; its inputs and outputs stay float32.

    Parameters
    ----------
    model
        The ONNX file.
    precision
        One of `PRECISIONS`.
    keep
        Operators that stay in float32.
    calibration
        For int8: inputs (N, C, …), as the graph takes them, whose range of values stands
        for all inputs.

    Returns
    -------
    bytes
        An ONNX file; for fp32 the same one. In int8 both weights and activations are
        symmetric and biases are not quantized: TensorRT takes no other kind.

    Raises
    ------
    PackageError
        If there is nothing to calibrate with, or the graph cannot be rewritten.
    BackendUnavailable
        If ``onnx`` is not installed.
    """
    if precision == "fp32":
        return model
    if precision not in PRECISIONS:
        raise PackageError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "int8" and not calibration:
        raise PackageError("int8 needs inputs to calibrate with; the package has no self-test")
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise BackendUnavailable(
            "making fp16 and int8 plans needs onnx; install it with pip install onnx"
        ) from error
    try:
        graph = onnx.load_model_from_string(model)
        if precision == "fp16":
            return _half(graph, keep)
        return _quantized(graph, keep, calibration)
    except (DecodeError, ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise PackageError(f"the graph cannot be rewritten in {precision}: {error}") from error


def _half(graph: Any, keep: Sequence[str]) -> bytes:
    from onnxruntime.transformers import float16

    blocked = sorted({*float16.DEFAULT_OP_BLOCK_LIST, *keep})
    made = float16.convert_float_to_float16(graph, keep_io_types=True, op_block_list=blocked)
    content: bytes = made.SerializeToString()
    return content


def _quantized(graph: Any, keep: Sequence[str], calibration: Sequence[FloatArray]) -> bytes:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    given = graph.graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([{given: array} for array in calibration])

        def get_next(self) -> dict[str, FloatArray] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, made = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        # Folds batch normalisation into the convolutions, so that it is quantized with them.
        quant_pre_process(graph, plain, skip_symbolic_shape=True)
        quantization.quantize_static(
            plain,
            made,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=[name for name in _QUANTIZED if name not in keep],
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "AddQDQPairToWeight": True,
            },
        )
        return made.read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice from the root logger, where it would configure logging."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


__all__ = ["KEEP", "PRECISIONS", "variant"]
