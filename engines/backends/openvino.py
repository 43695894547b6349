"""OpenVINO on the CPU: the faster one for 3D networks."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

from engines.api import Session
from engines.backends.host import GraphTensor, HostSession, checked_model, mismatches, refuse
from engines.errors import BackendUnavailable, InferenceError, OutOfMemory, PackageError
from engines.package import Package
from engines.types import Array, FloatArray

_TELEMETRY = "openvino_telemetry"
_MEMORY_WORDS = ("bad allocation", "bad_alloc", "Failed to allocate", "Resource temporarily")
_NO_MEMORY = "the machine has no memory left for this input"
_IDLE = 2
"""Compiled networks kept between calls: one for full batches, one for the rest at the end."""


class OpenvinoBackend:
    """OpenVINO on the CPU.

    Parameters
    ----------
    threads
        Threads inside one inference; all cores by default.
    """

    name = "openvino"

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads or os.cpu_count() or 1

    def missing(self) -> str | None:
        """Say that the openvino package is not installed or does not load, or None."""
        try:
            _openvino()
        except ModuleNotFoundError as error:
            if error.name == "openvino":
                return "the openvino package is not installed: pip install 'wetread[openvino]'"
            return f"the openvino package lacks a part of itself: {error}"
        except (ImportError, OSError) as error:
            return f"the openvino package does not load: {error}"
        return None

    def load(self, package: Package, *, device: str) -> Session:
        """Load a package's model on the CPU.

        Numbers are computed in float32 also where the processor has bfloat16 or float16.

        Raises
        ------
        BackendUnavailable
            If `missing` is not None, or `device` is not ``"cpu"``.
        PackageError
            If the file is not the one the manifest names, needs other files or operators
            outside the standard, or has other inputs and outputs than the manifest says.
        """
        if reason := self.missing():
            raise BackendUnavailable(f"backend {self.name!r}: {reason}")
        content = checked_model(package, self.name, device)
        try:
            core = _openvino().Core()
            model = core.read_model(model=content)
            names = package.manifest.model
            inputs = [_described(port, names.inputs[0].name) for port in model.inputs]
            outputs = [_described(port, names.outputs[0].name) for port in model.outputs]
            refuse(package, mismatches(package, inputs, outputs))
            wanted = [tensor.name for tensor in outputs].index(names.outputs[0].name)
            infer = _Inference(core, model, self._options(), wanted)
            infer.prepare(_usual_shape(package, inputs[0]))
        except RuntimeError as error:
            raise PackageError(
                f"{package.name}: {package.manifest.model.file}: {_sentence(error)}"
            ) from error
        return HostSession(infer, inputs[0], outputs[wanted].name)

    def _options(self) -> dict[str, Any]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            # By default bfloat16 where the processor has it: not the numbers of the self-test.
            "INFERENCE_PRECISION_HINT": "f32",
            # Pinned threads of two processes end on the same cores and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }


class _Inference:
    """Runs batches, each on a network compiled for exactly its shape.

    Not for any shape: OpenVINO then takes its memory while it runs, and where there is none
    left it ends the process, or gives the answer to another input, now or at the next call
    (seen with 2026.4). With a fixed shape all memory is taken, or refused, when it compiles.
    """

    def __init__(self, core: Any, model: Any, options: dict[str, Any], wanted: int) -> None:
        self._core, self._model, self._options, self._wanted = core, model, options, wanted
        self._idle: list[tuple[tuple[int, ...], Any]] = []
        self._turn, self._compiling = threading.Lock(), threading.Lock()

    def prepare(self, shape: tuple[int, ...] | None) -> None:
        """Compile for a shape; for None only try whether the network compiles at all."""
        if shape is None:
            self._core.compile_model(self._model, "CPU", self._options)
        else:
            self._put_back(shape, self._take(shape))

    def __call__(self, batch: FloatArray) -> Array:
        try:
            request = self._take(batch.shape)
            # Not `infer`: it returns as if all were well where this raises.
            request.start_async({0: batch}, share_inputs=True)
            request.wait()
            output: Array = request.get_output_tensor(self._wanted).data.copy()
        except MemoryError as error:
            raise OutOfMemory(_NO_MEMORY) from error
        except RuntimeError as error:
            # OpenVINO has no error class for it, only these texts.
            if any(words in str(error) for words in _MEMORY_WORDS):
                raise OutOfMemory(_NO_MEMORY) from error
            raise InferenceError(f"the model failed: {_sentence(error)}") from error
        # Only now: a request that failed is not used again.
        self._put_back(batch.shape, request)
        return output

    def _take(self, shape: tuple[int, ...]) -> Any:
        """Give a request that nobody else has: it holds one set of buffers."""
        with self._turn:
            for number, (fits, request) in enumerate(self._idle):
                if fits == shape:
                    del self._idle[number]
                    return request
            # Room for the one to come.
            del self._idle[: max(0, len(self._idle) - _IDLE + 1)]
        with self._compiling:
            fixed = self._model.clone()
            fixed.reshape(list(shape))
            return self._core.compile_model(fixed, "CPU", self._options).create_infer_request()

    def _put_back(self, shape: tuple[int, ...], request: Any) -> None:
        with self._turn:
            self._idle.append((shape, request))
            del self._idle[:-_IDLE]


def _usual_shape(package: Package, given: GraphTensor) -> tuple[int, ...] | None:
    """Guess the shape of most batches from the manifest and the graph; None if they leave it open.

    A network is then compiled when it is loaded and not during the first study.
    """
    infer = package.manifest.infer
    if given.shape is None:
        return None
    batch, channels, *space = given.shape
    shape = (batch or infer.batch, channels, *(infer.patch or space))
    whole = tuple(length for length in shape if length is not None)
    return whole if len(whole) == len(shape) == len(given.shape) else None


def _openvino() -> Any:
    """Import OpenVINO without the package that reports every import to its maker.

    Importing ``openvino`` sends an event over the network unless ``openvino_telemetry`` is
    absent, in which case OpenVINO uses a stub of its own. None in ``sys.modules`` is Python's
    way to say that a module is absent.
    """
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]


def _described(port: Any, name: str) -> GraphTensor:
    """Describe a port; of its several names the manifest's, where it has that."""
    names, rank = port.get_names(), port.get_partial_shape().rank
    kind = port.get_element_type().get_type_name()
    axes = port.get_partial_shape() if rank.is_static else None
    return GraphTensor(
        name if name in names else min(names, default=""),
        "float32" if kind == "f32" else kind,
        None
        if axes is None
        else tuple(axis.get_length() if axis.is_static else None for axis in axes),
    )


def _sentence(error: RuntimeError) -> str:
    """Make one line of OpenVINO's message, without where in its sources it was raised."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:] or lines)


__all__ = ["OpenvinoBackend"]
