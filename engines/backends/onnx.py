"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from engines.api import Session
from engines.backends.host import GraphTensor, HostSession, checked_model, mismatches, refuse
from engines.errors import InferenceError, OutOfMemory, PackageError
from engines.package import Package
from engines.types import Array, FloatArray

LOAD_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)
"""What it raises at a model it cannot load; they share no base class."""

RUN_ERRORS = (*LOAD_ERRORS, state.EPFail, ValueError)
"""What it raises at inputs it cannot run, or in their midst."""

_MEMORY_WORDS = ("bad allocation", "bad_alloc", "Failed to allocate memory")


class OnnxBackend:
    """ONNX Runtime on the CPU.

    Parameters
    ----------
    threads
        Threads inside one operator; all cores by default.
    """

    name = "onnx"

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads or os.cpu_count() or 1

    def missing(self) -> str | None:
        """Say why this backend cannot run here: never, it is a dependency."""
        return None

    def load(self, package: Package, *, device: str) -> Session:
        """Load a package's model on the CPU.

        Raises
        ------
        BackendUnavailable
            If `device` is not ``"cpu"``.
        PackageError
            If the file is not the one the manifest names, needs other files or operators
            outside the standard, or has other inputs and outputs than the manifest says.
        """
        content = checked_model(package, self.name, device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # The plan of a whole run is one block more beside the memory that already serves it: of
        # a 3D network 1.7 times the peak, and nothing gained in time.
        options.enable_mem_pattern = False
        # Spinning threads cost half as much CPU again where the machine does other work too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            runtime = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except LOAD_ERRORS as error:
            raise PackageError(f"{package.name}: {package.manifest.model.file}: {error}") from error
        inputs = [described(tensor) for tensor in runtime.get_inputs()]
        refuse(package, mismatches(package, inputs, [described(t) for t in runtime.get_outputs()]))
        wanted = package.manifest.model.outputs[0].name
        return HostSession(_Inference(runtime, inputs[0].name, wanted), inputs[0], wanted)


class _Inference:
    """Runs one batch; ``InferenceSession.run`` may be called from several threads."""

    def __init__(self, runtime: Any, given: str, wanted: str) -> None:
        self._runtime, self._given, self._wanted = runtime, given, wanted

    def __call__(self, batch: FloatArray) -> Array:
        try:
            output: Array = self._runtime.run([self._wanted], {self._given: batch})[0]
        except MemoryError as error:
            raise OutOfMemory("the machine has no memory left for this input") from error
        except RUN_ERRORS as error:
            # The runtime has no error class for it, only this text.
            if any(words in str(error) for words in _MEMORY_WORDS):
                raise OutOfMemory("the machine has no memory left for this input") from error
            raise InferenceError(f"the model failed: {error}") from error
        return output


def described(tensor: Any) -> GraphTensor:
    """Describe an input or output as ONNX Runtime does: a ``NodeArg``."""
    dtype = tensor.type.removeprefix("tensor(").removesuffix(")")
    # ONNX Runtime gives a scalar and an unknown rank the same empty shape, a symbol as text.
    shape = tuple(axis if isinstance(axis, int) else None for axis in tensor.shape)
    return GraphTensor(tensor.name, "float32" if dtype == "float" else dtype, shape or None)


__all__ = ["LOAD_ERRORS", "RUN_ERRORS", "OnnxBackend", "described"]
