"""Calls of one KServe-v2 server, and what its failures mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.backends.kserve.address import LARGEST_MESSAGE_BYTES, Address, open_channel
from engines.backends.kserve.naming import DIGEST, VERSION
from engines.errors import (
    BackendAway,
    BackendUnavailable,
    EngineError,
    InferenceError,
    OutOfMemory,
)
from engines.types import FloatArray

ANSWER_SECONDS = 10.0
"""Deadline of a question about the server or a model."""

_LONGEST_QUOTE = 300
_MEMORY_WORDS = ("out of memory", "out_of_memory", "bad_alloc", "bad allocation", "failed to alloc")
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "NOT_FOUND")
_NOT_FOR_US = ("UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED")


@dataclass(frozen=True)
class Declared:
    """What a server's model configuration says; only Triton has one.

    Parameters
    ----------
    max_batch
        Most images per call, or None where the server sets no limit.
    sha256
        Hex digest of the ONNX file behind the model, or None.
    """

    max_batch: int | None = None
    sha256: str | None = None


class Server:
    """One KServe-v2 gRPC server.

    Parameters
    ----------
    address
        Where it is. Connected at the first call, and again after a loss.
    """

    def __init__(self, address: Address) -> None:
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self._address = address
        self._messages = service_pb2
        self._channel = open_channel(address)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection; calls fail after it."""
        self._channel.close()

    def check_ready(self, model: str) -> None:
        """Make sure that the server and one of its models can be used.

        Raises
        ------
        BackendAway
            If the server does not answer, is not live or ready, or has the model not (yet).
        """
        messages = self._messages
        if not self._ask("ServerLive", messages.ServerLiveRequest()).live:
            raise BackendAway(f"{self._address}: the server is not live")
        if not self._ask("ServerReady", messages.ServerReadyRequest()).ready:
            raise BackendAway(f"{self._address}: the server is not ready")
        request = messages.ModelReadyRequest(name=model, version=VERSION)
        if not self._ask("ModelReady", request).ready:
            raise BackendAway(
                f"{self._address}: model {model}, version {VERSION}, is not ready; is it in the "
                "server's repository (wetread models triton-repository), and has it loaded?"
            )

    def metadata(self, model: str) -> Any:
        """Ask for a model's ``ModelMetadataResponse``: names, types and shapes."""
        request = self._messages.ModelMetadataRequest(name=model, version=VERSION)
        return self._ask("ModelMetadata", request)

    def declared(self, model: str) -> Declared:
        """Ask for what a model's configuration says; empty where the server has none."""
        request = self._messages.ModelConfigRequest(name=model, version=VERSION)
        try:
            config = self._ask("ModelConfig", request).config
        except BackendUnavailable:
            return Declared()
        sha256 = config.parameters[DIGEST].string_value if DIGEST in config.parameters else None
        return Declared(config.max_batch_size or None, sha256)

    def infer(
        self, model: str, given: str, batch: FloatArray, wanted: str, timeout_s: float
    ) -> FloatArray:
        """Run one batch.

        Parameters
        ----------
        model
            Its name on the server.
        given, wanted
            Names of the input and the output tensor.
        batch
            float32, axes (N, C, …).
        timeout_s
            Deadline of the call, seconds.

        Returns
        -------
        ndarray
            float32, axes (N, channels, …), writable.

        Raises
        ------
        BackendAway
            If the server cannot be reached, breaks off, or does not answer in time.
        OutOfMemory
            If the server has no room, or the batch does not fit one message.
        InferenceError
            If the model fails, or the answer is not what the protocol says.
        """
        if batch.nbytes > LARGEST_MESSAGE_BYTES - 2**16:  # room for the message's other fields
            raise OutOfMemory(
                f"the input has {batch.nbytes} bytes; one gRPC message holds "
                f"{LARGEST_MESSAGE_BYTES}: use smaller batches or windows"
            )
        request = self._messages.ModelInferRequest(model_name=model, model_version=VERSION)
        request.inputs.add(name=given, datatype="FP32", shape=batch.shape)
        request.outputs.add(name=wanted)
        request.raw_input_contents.append(batch.astype("<f4", copy=False).tobytes())
        response = self._ask("ModelInfer", request, timeout_s)
        return _output(response, wanted, len(batch))

    def _ask(self, method: str, request: Any, timeout_s: float = ANSWER_SECONDS) -> Any:
        import grpc

        try:
            return getattr(self._stub, method)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            # A call that fails raises an object that is the error and the call at once.
            code, details = error.code().name, error.details() or ""
            raise failure(code, details, f"{self._address}: {method}") from error
        except ValueError as error:  # all that gRPC says of a channel closed by another thread
            raise InferenceError(f"the session is closed: {error}") from error


def failure(code: str, details: str, where: str) -> EngineError:
    """Make an engine error of a failed call.

    Parameters
    ----------
    code
        gRPC status, such as ``"UNAVAILABLE"`` (https://grpc.io/docs/guides/status-codes).
    details
        The server's words; the first 300 characters are kept.
    where
        Server and method.
    """
    said = f"{where}: {code}: {details[:_LONGEST_QUOTE]}"
    # Triton answers OUT OF MEMORY as INTERNAL, or as UNAVAILABLE where a queue waits for it.
    if code == "RESOURCE_EXHAUSTED" or any(words in details.lower() for words in _MEMORY_WORDS):
        return OutOfMemory(f"the server has no room for this input: {said}")
    if code in _AWAY:
        return BackendAway(said)
    if code in _NOT_FOR_US:
        return BackendUnavailable(said)
    return InferenceError(f"the model failed: {said}")


def _output(response: Any, wanted: str, images: int) -> FloatArray:
    """Take the named output out of a ``ModelInferResponse``."""
    names = [tensor.name for tensor in response.outputs]
    if wanted not in names:
        raise InferenceError(f"the server's answer has outputs {names}, not {wanted!r}")
    at = names.index(wanted)
    tensor = response.outputs[at]
    shape = tuple(tensor.shape)
    if tensor.datatype != "FP32":
        raise InferenceError(f"the server's output {wanted!r} is {tensor.datatype}, not FP32")
    if len(response.raw_output_contents) > at:
        raw = response.raw_output_contents[at]
        # A cut is seen here: a length that is no multiple of 4 would be another error.
        values = np.frombuffer(raw, "<f4") if len(raw) % 4 == 0 else np.empty(0, np.float32)
    else:
        values = np.array(tensor.contents.fp32_contents, np.float32)
    if len(shape) < 2 or shape[0] != images or min(shape) < 0 or np.prod(shape) != values.size:
        raise InferenceError(
            f"the server's output {wanted!r} says shape {shape} and has {values.size} numbers; "
            f"{images} images were sent"
        )
    return values.reshape(shape).astype(np.float32)


__all__ = ["ANSWER_SECONDS", "Declared", "Server", "failure"]
