"""The ONNX standard's own evaluator, in NumPy: slow, and there to check the others against."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import numpy as np

from engines.api import Session
from engines.backends.host import GraphTensor, HostSession, checked_model, mismatches, refuse
from engines.errors import BackendUnavailable, InferenceError, OutOfMemory
from engines.package import Package
from engines.types import Array, FloatArray

# What NumPy and the evaluator raise where shapes or values do not fit.
_RUN_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class ReferenceBackend:
    """The evaluator of the onnx package, in NumPy.

    Parameters
    ----------
    threads
        Taken for the sake of the entry point; NumPy decides for itself.
    """

    name = "reference"

    def __init__(self, *, threads: int | None = None) -> None:
        del threads

    def missing(self) -> str | None:
        """Say that the onnx package is not installed or does not load, or None."""
        try:
            importlib.import_module("onnx")
            importlib.import_module("onnx.reference")
        except ModuleNotFoundError as error:
            if error.name == "onnx":
                return "the onnx package is not installed: pip install 'wetread[reference]'"
            return f"the onnx package lacks a part of itself: {error}"
        except ImportError as error:
            return f"the onnx package does not load: {error}"
        return None

    def load(self, package: Package, *, device: str) -> Session:
        """Load a package's model.

        Raises
        ------
        BackendUnavailable
            If `missing` is not None, or `device` is not ``"cpu"``.
        PackageError
            If the file is not the one the manifest names, needs other files or operators
            outside the standard or outside the evaluator, or has other inputs and outputs
            than the manifest says.
        """
        if reason := self.missing():
            raise BackendUnavailable(f"backend {self.name!r}: {reason}")
        content = checked_model(package, self.name, device)
        onnx = importlib.import_module("onnx")
        evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator
        try:
            model = onnx.load_from_string(content)
            onnx.checker.check_model(model)
            runtime = evaluator(model)
        except (*_RUN_ERRORS, onnx.checker.ValidationError) as error:
            refuse(package, [" ".join(str(error).split())])
        weights = {tensor.name for tensor in model.graph.initializer}
        names = onnx.TensorProto.DataType
        inputs = [_described(t, names) for t in model.graph.input if t.name not in weights]
        outputs = [_described(tensor, names) for tensor in model.graph.output]
        refuse(package, mismatches(package, inputs, outputs))
        wanted = package.manifest.model.outputs[0].name
        return HostSession(_Inference(runtime, inputs[0].name, wanted), inputs[0], wanted)


class _Inference:
    """Runs one batch at a time: the evaluator does not promise more."""

    def __init__(self, runtime: Any, given: str, wanted: str) -> None:
        self._runtime, self._given, self._wanted = runtime, given, wanted
        self._lock = threading.Lock()

    def __call__(self, batch: FloatArray) -> Array:
        # A value that is not finite is the session's to report, not NumPy's.
        with self._lock, np.errstate(all="ignore"):
            try:
                output: Array = self._runtime.run([self._wanted], {self._given: batch})[0]
            except MemoryError as error:
                raise OutOfMemory("the machine has no memory left for this input") from error
            except _RUN_ERRORS as error:
                raise InferenceError(f"the model failed: {error}") from error
        # It may be a view of the batch, which the caller uses again.
        return output.copy()


def _described(tensor: Any, names: Any) -> GraphTensor:
    kind = names.Name(tensor.type.tensor_type.elem_type).lower()
    shape = None
    if tensor.type.tensor_type.HasField("shape"):
        axes = tensor.type.tensor_type.shape.dim
        shape = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
    return GraphTensor(tensor.name, "float32" if kind == "float" else kind, shape)


__all__ = ["ReferenceBackend"]
