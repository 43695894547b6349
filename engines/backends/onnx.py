"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from engines.api import Session, WindowPlan
from engines.backends import onnx_file
from engines.errors import BackendUnavailable, InferenceError, OutOfMemory, PackageError
from engines.package import Package
from engines.types import FloatArray, Tensors
from engines.window import sweep

# ONNX Runtime's errors share no base class.
_LOAD_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)
_RUN_ERRORS = (*_LOAD_ERRORS, state.EPFail, ValueError)
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
        if device != "cpu":
            raise BackendUnavailable(f"backend 'onnx' runs on device 'cpu' only, not {device!r}")
        content = package.read_model()
        file = package.manifest.model.file
        if found := onnx_file.problems(content):
            raise PackageError("\n".join(f"{package.name}: {file}: {line}" for line in found))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Spinning threads cost half as much CPU again where the machine does other work too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            runtime = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except _LOAD_ERRORS as error:
            raise PackageError(f"{package.name}: {file}: {error}") from error
        if found := _mismatches(package, runtime):
            raise PackageError("\n".join(f"{package.name}: {file}: {line}" for line in found))
        model = package.manifest.model
        return OnnxSession(runtime, model.inputs[0].name, model.outputs[0].name)


class OnnxSession:
    """A model loaded by ONNX Runtime.

    Parameters
    ----------
    runtime
        ``onnxruntime.InferenceSession``.
    given, wanted
        Names of the input and the output tensor.
    """

    def __init__(self, runtime: Any, given: str, wanted: str) -> None:
        self._runtime, self._given, self._wanted = runtime, given, wanted

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch: named float32 arrays (N, C, …) in, named arrays out."""
        if self._runtime is None:
            raise InferenceError("the session is closed")
        feed = {
            name: np.ascontiguousarray(value, dtype=np.float32) for name, value in inputs.items()
        }
        try:
            (output,) = self._runtime.run([self._wanted], feed)
        except MemoryError as error:
            raise OutOfMemory("the machine has no memory left for this input") from error
        except _RUN_ERRORS as error:
            # The runtime has no error class for it, only this text.
            if any(words in str(error) for words in _MEMORY_WORDS):
                raise OutOfMemory("the machine has no memory left for this input") from error
            raise InferenceError(f"the model failed: {error}") from error
        if not np.isfinite(output).all():
            raise InferenceError(f"output {self._wanted!r} is not finite")
        return {self._wanted: output}

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> FloatArray:
        """Run a whole volume (C, k, j, i), window by window: blended output (classes, k, j, i)."""
        return sweep(lambda batch: self.run({self._given: batch})[self._wanted], volume, plan)

    def close(self) -> None:
        """Drop the model; the session cannot be used after it."""
        self._runtime = None


def _mismatches(package: Package, runtime: Any) -> list[str]:
    """Compare the graph's inputs and outputs with the manifest."""
    model, found = package.manifest.model, []
    given = {tensor.name: tensor for tensor in runtime.get_inputs()}
    wanted = {tensor.name: tensor for tensor in runtime.get_outputs()}
    entry, output = model.inputs[0], model.outputs[0]
    if set(given) != {entry.name}:
        found.append(f"has inputs {_names(given)}; the manifest names {entry.name!r}")
    else:
        found += _shape(given[entry.name], "input", len(entry.channels), [model.ndim + 2])
    if output.name not in wanted:
        found.append(f"has outputs {_names(wanted)}; the manifest names {output.name!r}")
    else:
        ranks = [2] if model.task == "classify" else [2, model.ndim + 2]
        if model.task == "segment":
            ranks = [model.ndim + 2]
        found += _shape(wanted[output.name], "output", output.channels, ranks)
    return found


def _shape(tensor: Any, what: str, channels: int, ranks: Sequence[int]) -> list[str]:
    """Compare one tensor's type, rank and channels; symbolic dimensions fit anything."""
    found = []
    if tensor.type != "tensor(float)":
        found.append(f"{what} {tensor.name!r} is {tensor.type}, not tensor(float)")
    if tensor.shape and len(tensor.shape) not in ranks:
        expected = " or ".join(str(rank) for rank in ranks)
        found.append(f"{what} {tensor.name!r} has {len(tensor.shape)} axes, not {expected}")
    elif tensor.shape and isinstance(tensor.shape[1], int) and tensor.shape[1] != channels:
        found.append(
            f"{what} {tensor.name!r} has {tensor.shape[1]} channels, the manifest says {channels}"
        )
    return found


def _names(tensors: dict[str, Any]) -> str:
    return ", ".join(repr(name) for name in sorted(tensors)) or "none"


__all__ = ["OnnxBackend", "OnnxSession"]
