"""A KServe-v2 gRPC server on loopback: real wire, real networks, and manners on request.

It serves model packages the way Triton would: each is written as Triton's model repository
by our own writer, and everything it says of a model comes from the ``config.pbtxt`` there.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from engines.backends.kserve.naming import served_name
from engines.backends.kserve.repository import CONFIG, MODEL, write_model
from engines.errors import PackageError
from engines.package import MANIFEST, load_package

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass
class Manners:
    """How the server behaves; each default is that of a good one."""

    live: bool = True
    ready: bool = True
    configured: bool = True
    typed: bool = False
    answer: dict[str, Any] = field(default_factory=dict)
    datatype: str = "FP32"
    fails: tuple[grpc.StatusCode, str] | None = None
    holds: threading.Event | None = None


@dataclass
class Loaded:
    config: Any
    runtime: Any


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves every model package below a folder, found when it is asked for."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, repository
        self.manners = Manners()
        self.models: dict[str, Loaded] = {}
        self.batches: list[int] = []

    def ServerLive(self, request, context):  # noqa: N802 - gRPC's names
        return service_pb2.ServerLiveResponse(live=self.manners.live)

    def ServerReady(self, request, context):  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self.manners.ready)

    def ModelReady(self, request, context):  # noqa: N802
        ready = request.version == "1" and self._find(request.name) is not None
        return service_pb2.ModelReadyResponse(ready=ready)

    def ModelMetadata(self, request, context):  # noqa: N802
        config = self._model(request.name, context).config
        response = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"])
        batch = [-1] if config.max_batch_size else []
        for said, tensors in ((response.inputs, config.input), (response.outputs, config.output)):
            for tensor in tensors:
                shape = [*batch, *tensor.dims]
                said.add(name=tensor.name, datatype=self.manners.datatype, shape=shape)
        return response

    def ModelConfig(self, request, context):  # noqa: N802
        if not self.manners.configured:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return service_pb2.ModelConfigResponse(config=self._model(request.name, context).config)

    def ModelInfer(self, request, context):  # noqa: N802
        if self.manners.holds is not None:
            self.manners.holds.wait()
        if self.manners.fails is not None:
            context.abort(*self.manners.fails)
        model = self._model(request.model_name, context)
        (tensor,) = request.inputs
        most = model.config.max_batch_size
        if most and tensor.shape[0] > most:
            words = f"inference request batch-size must be <= {most} for '{request.model_name}'"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
        self.batches.append(tensor.shape[0])
        given = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(tensor.shape)
        wanted = request.outputs[0].name
        try:
            (output,) = model.runtime.run([wanted], {tensor.name: given})
        except Exception as error:  # noqa: BLE001 - a server answers whatever happens in it
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        said = {"name": wanted, "datatype": "FP32", "shape": output.shape, **self.manners.answer}
        raw = said.pop("raw", output.astype("<f4").tobytes())
        response.outputs.add(**said)
        if self.manners.typed:
            response.outputs[0].contents.fp32_contents.extend(output.ravel().tolist())
        else:
            response.raw_output_contents.append(raw)
        return response

    def exchange(self, package) -> None:
        """Serve this package's name from its changed file from now on."""
        self.models.pop(served_name(package))
        self.repository = Path(tempfile.mkdtemp(dir=self.repository))

    def _model(self, name: str, context: Any) -> Loaded:
        model = self._find(name)
        if model is None:
            words = f"Request for unknown model: '{name}' is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, words)
        return model

    def _find(self, name: str) -> Loaded | None:
        if name not in self.models:
            for manifest in self.folder.rglob(MANIFEST):
                try:
                    package = load_package(manifest.parent)
                    write_model(package, self.repository)
                except PackageError:
                    continue  # some tests break their packages
                if served_name(package) == name:
                    self.models[name] = load_model(self.repository / name)
        return self.models.get(name)


def load_model(folder: Path) -> Loaded:
    """Load one model of a repository as Triton does: by its configuration."""
    config = text_format.Parse((folder / CONFIG).read_text(), model_config_pb2.ModelConfig())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    content = (folder / "1" / MODEL).read_bytes()
    return Loaded(
        config,
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]),
    )


@dataclass
class Running:
    service: Service
    server: grpc.Server
    port: int

    @property
    def device(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Go down at once, calls in flight included."""
        self.server.stop(None).wait()


@contextmanager
def serving(
    folder: Path, *, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> Iterator[Running]:
    """Serve the packages below a folder on a free port, or on one that was used before."""
    with (
        tempfile.TemporaryDirectory() as repository,
        ThreadPoolExecutor(max_workers=4) as threads,
    ):
        service = Service(folder, Path(repository))
        server = grpc.server(threads, options=UNLIMITED)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        server.start()
        running = Running(service, server, port)
        try:
            yield running
        finally:
            if service.manners.holds is not None:
                service.manners.holds.set()
            running.stop()


__all__ = ["Manners", "Running", "Service", "serving"]
