"""The backend ``kserve``: models on a KServe-v2 gRPC server."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from engines.api import Session
from engines.backends.host import GraphTensor, HostSession, mismatches
from engines.backends.kserve.address import parse_address
from engines.backends.kserve.naming import served_name
from engines.backends.kserve.server import Declared, Server
from engines.errors import BackendUnavailable, InferenceError, PackageError
from engines.package import Package, self_test
from engines.types import FloatArray


class KServeBackend:
    """Triton, OpenVINO Model Server, and whatever else speaks KServe v2 over gRPC.

    Parameters
    ----------
    threads
        Not used: the server decides on its own threads.
    """

    name = "kserve"

    def __init__(self, *, threads: int | None = None) -> None:
        del threads

    def missing(self) -> str | None:
        """Say that the client is not installed or does not load, or None."""
        try:
            importlib.import_module("tritonclient.grpc")
        except (ImportError, RuntimeError) as error:  # the latter where it comes without gRPC
            return f"tritonclient[grpc] does not load: {error}; pip install 'wetread[kserve]'"
        return None

    def load(self, package: Package, *, device: str) -> Session:
        """Find a package's model on a server and make sure that it is the package's.

        Parameters
        ----------
        package
            Its version must be served under the name `served_name`.
        device
            ``grpc://HOST:PORT``, or ``grpcs://HOST:PORT?ca=FILE`` for TLS.

        Returns
        -------
        KServeSession
            Each call of the model may last as long as the manifest's ``runtime.timeout_s``.
            Raises `BackendAway` where the server cannot be reached, breaks off, or does not
            answer in time; the same session serves again when the server is back.

        Raises
        ------
        BackendUnavailable
            If `missing` is not None, `device` has another form, or the server does not let
            us in.
        BackendAway
            If the server does not answer, or has the model not (yet).
        PackageError
            If the package's model file is not the one the manifest names, or the server's
            model has another digest, other tensors, or other answers to the self-test.
        """
        if reason := self.missing():
            raise BackendUnavailable(f"backend {self.name!r}: {reason}")
        address = parse_address(device)
        # Nothing of it is sent; but a package that is broken here must not give results.
        package.read_model()
        server = Server(address)
        try:
            session = _agreed(package, server, f"{package.name}: {address}")
        except BaseException:  # whatever it was: no session owns the connection yet
            server.close()
            raise
        return session


class KServeSession(HostSession):
    """A model on a server.

    Parameters
    ----------
    call
        Runs one batch there.
    given
        The model's input, as the server describes it.
    notes
        What nobody could check, for the administrator.
    """

    def __init__(self, call: RemoteCall, given: GraphTensor, notes: tuple[str, ...] = ()) -> None:
        super().__init__(call, given, call.wanted, call.close)
        self.notes = notes


class RemoteCall:
    """Runs batches of one model on a server.

    Parameters
    ----------
    package
        What the model is.
    server
        Where it runs.
    declared
        What the server said of the model when it was checked.
    """

    def __init__(self, package: Package, server: Server, declared: Declared) -> None:
        model = package.manifest.model
        self.wanted = model.outputs[0].name
        self._server, self._declared = server, declared
        self._name, self._given = served_name(package), model.inputs[0].name
        self._channels = model.outputs[0].channels
        self._timeout_s = package.manifest.runtime.timeout_s

    def __call__(self, batch: FloatArray) -> FloatArray:
        """Run a batch (N, C, …), in several calls if it is larger than the server takes.

        Raises
        ------
        BackendAway
            If the server cannot be reached, breaks off, or does not answer in time.
        InferenceError
            If the model fails, its answer is not as the manifest says, or the server has
            exchanged the model.
        OutOfMemory
            If the server has no room.
        """
        # Asked each time: a server may load another model while it runs, or by a restart.
        # It takes a fraction of a millisecond.
        declared = self._server.declared(self._name)
        if declared.sha256 != self._declared.sha256:
            raise InferenceError(
                f"the server has exchanged model {self._name}: sha256 was "
                f"{self._declared.sha256}, is {declared.sha256}; a changed model needs a new "
                "version"
            )
        most = declared.max_batch or max(1, len(batch))
        parts = [
            self._server.infer(
                self._name, self._given, batch[start : start + most], self.wanted, self._timeout_s
            )
            for start in range(0, max(1, len(batch)), most)
        ]
        if found := {part.shape[1] for part in parts} - {self._channels}:
            raise InferenceError(
                f"output {self.wanted!r} has {min(found)} channels, the manifest says "
                f"{self._channels}"
            )
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()


def _agreed(package: Package, server: Server, where: str) -> KServeSession:
    """Open a session if the server's model is the package's."""
    name = served_name(package)
    server.check_ready(name)
    metadata = server.metadata(name)
    inputs = [_described(tensor) for tensor in metadata.inputs]
    found = mismatches(package, inputs, [_described(tensor) for tensor in metadata.outputs])
    if found:
        raise PackageError("\n".join(f"{where}: model {name} {line}" for line in found))
    declared, expected = server.declared(name), package.manifest.model.sha256
    call = RemoteCall(package, server, declared)
    if declared.sha256 == expected:
        return KServeSession(call, inputs[0])
    if declared.sha256 is not None:
        raise PackageError(
            f"{where}: model {name} was made from an ONNX file with sha256 {declared.sha256}, "
            f"the manifest says {expected}"
        )
    # Nothing but the answers can show then whose model it is.
    if not package.manifest.selftest.cases:
        note = f"{where} does not say which file model {name} is, and there is no self-test"
        return KServeSession(call, inputs[0], (note,))
    session = KServeSession(call, inputs[0])
    if found := self_test(package, session):
        raise PackageError("\n".join(f"{where}: model {name}: {line}" for line in found))
    return session


def _described(tensor: Any) -> GraphTensor:
    """Read one tensor of a ``ModelMetadataResponse``; -1 is a length that the graph leaves open."""
    shape = tuple(None if size == -1 else int(size) for size in tensor.shape)
    dtype = "float32" if tensor.datatype == "FP32" else tensor.datatype
    return GraphTensor(tensor.name, dtype, shape)


__all__ = ["KServeBackend", "KServeSession", "RemoteCall"]
