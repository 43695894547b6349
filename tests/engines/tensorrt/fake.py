"""TensorRT played by ONNX Runtime: the same attributes, the same order of calls, scripted faults.

It stands where no GPU does. What it is told out of order it refuses as TensorRT does: with
False, None or an error in the log. It reads and writes the addresses it is given, and does
its work when the stream comes to it.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.message import DecodeError

from engines.backends.tensorrt.backend import TensorRTBackend
from engines.backends.tensorrt.driver import Gpu
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.machine import Machine
from engines.backends.tensorrt.rounding import rounded
from engines.device.host import COMPILERS, HostApi
from engines.errors import DeviceLost, NotOnDevice, OutOfMemory

GPU = Gpu("Paper GPU", "9.0", "13.0", 1 << 34)
MAGIC = b"paper plan\n"


class Severity(enum.Enum):
    ERROR = 1
    INFO = 3


class Base:
    """What the API's interfaces are made of."""

    def __init__(self) -> None: ...


class Device(HostApi):
    """The host as a device: it knows the threads that opened it, and is full at some allocation.

    Parameters
    ----------
    full_at
        Which allocation fails, from 1.
    room
        Bytes that may be allocated at once.
    no_kernels
        Why it cannot launch a kernel.
    graphs
        Whether it captures, as cuda-bindings does and pycuda does not.
    """

    def __init__(
        self,
        full_at: int = 0,
        *,
        room: int = 1 << 32,
        no_kernels: str | None = None,
        graphs: bool = False,
    ) -> None:
        if "CI" not in os.environ and not any(map(shutil.which, COMPILERS)):
            pytest.skip("the host plays a device only where there is a C++ compiler")
        super().__init__(room=room)
        self._full_at, self._no_kernels = full_at, no_kernels
        self.allocations = self.bytes_up = self.bytes_down = 0
        self.captures = self.launches = 0
        if graphs:
            self.capture = self._captured
        self.streams: dict[int, Any] = {}
        self._owners: Counter[int] = Counter()

    def open(self) -> Device:
        """Be current in the calling thread from now on, as a CUDA context is."""
        self._owners[threading.get_ident()] += 1
        return self

    def _check_thread(self) -> None:
        if not self._owners[threading.get_ident()]:
            raise DeviceLost("invalid device context")

    def allocate(self, nbytes: int):
        self._check_thread()
        self.allocations += 1
        if self.allocations == self._full_at:
            raise OutOfMemory("the paper device is full")
        return super().allocate(nbytes)

    def stream(self):
        self._check_thread()
        stream = super().stream()
        self.streams[stream.handle] = stream
        return stream

    def copy_in(self, buffer, host, stream) -> None:
        self._check_thread()
        self.bytes_up += host.nbytes
        super().copy_in(buffer, host, stream)

    def copy_out(self, host, buffer, stream) -> None:
        self._check_thread()
        self.bytes_down += host.nbytes
        super().copy_out(host, buffer, stream)

    def launch(self, kernel, grid, block, arguments, stream) -> None:
        self._check_thread()
        if self._no_kernels is not None:
            raise NotOnDevice(self._no_kernels)
        super().launch(kernel, grid, block, arguments, stream)

    def _captured(self, work, stream):
        """Take what `work` queues out of the queue, to be queued whenever the graph is."""
        self._check_thread()
        before = len(stream.queue)
        work()
        queued = [stream.queue.pop() for _ in range(len(stream.queue) - before)][::-1]
        stream.queued -= len(queued)
        self.captures += 1

        def launch(where):
            self.launches += 1
            for each in queued:
                where.call(each)

        return SimpleNamespace(launch=launch, close=lambda: None)

    def close(self) -> None:
        self._check_thread()
        super().close()
        self._owners[threading.get_ident()] -= 1


class Fake:
    """A TensorRT, a GPU and a device in one.

    Parameters
    ----------
    answers
        Name of a call → what it gives instead of doing its work.
    says
        Line that goes to the log, as an error, when such a call is made.
    device
        As for `Device`.
    """

    def __init__(
        self, answers: dict[str, Any] | None = None, *, says: str = "", **device: Any
    ) -> None:
        self.answers, self.says = answers or {}, says
        self.device = Device(**device)
        self.calls: list[str] = []
        self.version = "11.4.0"

    def counted(self) -> Counter[str]:
        return Counter(self.calls)

    def scripted(self, call: str, log: Any, work: Callable[[], Any]) -> Any:
        """Write a call down and give its scripted answer, or do its work."""
        self.calls.append(call)
        if call not in self.answers:
            return work()
        if self.says:
            log.log(Severity.ERROR, self.says)
        return self.answers[call]

    def flavour(self) -> Flavour:
        return Flavour("tensorrt", self.version, self.api())

    def backend(self, folder) -> TensorRTBackend:
        machine = Machine(
            self.flavour, lambda index: GPU, lambda index: self.device.open(), lambda: None
        )
        return TensorRTBackend(machine=machine, folder=folder)

    def api(self) -> SimpleNamespace:
        """Make what stands in the place of the Python module."""
        return SimpleNamespace(
            __version__=self.version,
            ILogger=Base,
            IProgressMonitor=Base,
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
            BuilderFlag=SimpleNamespace(TF32="tf32"),
            DataType=SimpleNamespace(FLOAT="float32", HALF="float16"),
            ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"),
            Builder=lambda log: Builder(self, log),
            OnnxParser=lambda network, log: Parser(network),
            Runtime=lambda log: Runtime(self, log),
        )


class Prebuilt(TensorRTBackend):
    """The backend of a node that has built all plans, as the contract wants it."""

    def __init__(self, folder) -> None:
        fake = Fake()
        machine = Machine(
            fake.flavour, lambda index: GPU, lambda index: fake.device.open(), lambda: None
        )
        super().__init__(machine=machine, folder=folder)

    def load(self, package, *, device: str):
        return super().load(package, device=device, build_missing=True)


class Network:
    """Inputs and outputs of a parsed graph."""

    def __init__(self) -> None:
        self.model = b""
        self.inputs: list[SimpleNamespace] = []
        self.outputs: list[SimpleNamespace] = []

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, number: int):
        return self.inputs[number]

    def get_output(self, number: int):
        return self.outputs[number]

    def unmark_output(self, tensor) -> None:
        self.outputs.remove(tensor)


class Parser:
    def __init__(self, network: Network) -> None:
        self._network, self._errors = network, []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, number: int) -> str:
        return self._errors[number]

    def parse(self, model: bytes) -> bool:
        try:
            graph = onnx.load_model_from_string(model).graph
        except DecodeError as error:
            self._errors.append(f"not ONNX: {error}")
            return False
        self._network.model = model
        self._network.inputs = [tensor(value) for value in graph.input]
        self._network.outputs = [tensor(value) for value in graph.output]
        return True


class Builder:
    def __init__(self, fake: Fake, log: Any) -> None:
        self._fake, self._log = fake, log

    def create_network(self, flags: int) -> Network:
        assert flags == 1 << 1
        return Network()

    def create_builder_config(self) -> SimpleNamespace:
        profiles: list[Any] = []

        def add(profile: Any) -> int:
            profiles.append(profile.shapes)
            return len(profiles) - 1

        return SimpleNamespace(
            profiles=profiles,
            progress_monitor=None,
            add_optimization_profile=add,
            set_memory_pool_limit=lambda pool, size: None,
            clear_flag=lambda flag: None,
        )

    def create_optimization_profile(self) -> SimpleNamespace:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(
            shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three})
        )

    def build_serialized_network(self, network: Network, config: Any) -> bytes | None:
        def work() -> bytes:
            if config.progress_monitor is not None:
                config.progress_monitor.phase_start("Building engine", None, 1)
                config.progress_monitor.step_complete("Building engine", 0)
                config.progress_monitor.phase_finish("Building engine")
            names = [network.inputs[0].name, network.outputs[0].name]
            head = json.dumps({"names": names, "profiles": config.profiles}).encode()
            return MAGIC + head + b"\n" + network.model

        return self._fake.scripted("build_serialized_network", self._log, work)


class Runtime:
    def __init__(self, fake: Fake, log: Any) -> None:
        self._fake, self._log = fake, log

    def deserialize_cuda_engine(self, plan: bytes):
        def work():
            if not plan.startswith(MAGIC):
                self._log.log(Severity.ERROR, "magic tag does not match")
                return None
            _, head, model = plan.split(b"\n", 2)
            return Engine(self._fake, self._log, json.loads(head), model)

        return self._fake.scripted("deserialize_cuda_engine", self._log, work)


class Engine:
    def __init__(self, fake: Fake, log: Any, head: dict[str, Any], model: bytes) -> None:
        self.fake, self.log, self.names, self._profiles = fake, log, head["names"], head["profiles"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            rounded(model) if has_half(model) else model,
            options,
            providers=["CPUExecutionProvider"],
        )

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[list[int]]:
        return self._profiles[profile][name]

    def create_execution_context(self, strategy: str):
        assert strategy == "ours"
        return self.fake.scripted(
            "create_execution_context", self.log, lambda: Context(self, self._profiles)
        )


class Context:
    """An execution context: each call needs those before it."""

    def __init__(self, engine: Engine, profiles: list[Any]) -> None:
        self._engine, self._profiles = engine, profiles
        self._profile: int | None = None
        self._shape: tuple[int, ...] | None = None
        self._output: tuple[int, ...] = ()
        self._room = self._asked = 0
        self._addresses: dict[str, int] = {}

    def _scripted(self, call: str, work: Callable[[], Any]) -> Any:
        return self._engine.fake.scripted(call, self._engine.log, work)

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        def work() -> bool:
            self._profile, self._shape = profile, None
            return stream in self._engine.fake.device.streams

        return self._scripted("set_optimization_profile_async", work)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        def work() -> bool:
            if self._profile is None:
                return False
            least, _, most = self._profiles[self._profile][name]
            self._shape = tuple(shape)
            self._addresses, self._room = {}, 0
            return all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))

        return self._scripted("set_input_shape", work)

    def infer_shapes(self) -> list[str]:
        def work() -> list[str]:
            if self._shape is None:
                return [self._engine.names[0]]
            zeros = np.zeros(self._shape, np.float32)
            self._output = self._run(zeros).shape
            return []

        return self._scripted("infer_shapes", work)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._output if name == self._engine.names[1] else self._shape or ()

    def update_device_memory_size_for_shapes(self) -> int:
        def work() -> int:
            self._asked = int(np.prod(self._shape or (0,))) * 8
            return self._asked

        return self._scripted("update_device_memory_size_for_shapes", work)

    def set_device_memory(self, address: int, size: int) -> None:
        def work() -> None:
            ctypes.memset(address, 0xAB, size)
            self._room = size

        self._scripted("set_device_memory", work)

    def set_tensor_address(self, name: str, address: int) -> bool:
        def work() -> bool:
            self._addresses[name] = address
            return address % 256 == 0

        return self._scripted("set_tensor_address", work)

    def execute_async_v3(self, stream: int) -> bool:
        def work() -> bool:
            ready = set(self._addresses) == set(self._engine.names)
            if not ready or self._shape is None or self._room < self._asked:
                self._engine.log.log(Severity.ERROR, "enqueueV3: called out of order")
                return False
            shape, addresses = self._shape, dict(self._addresses)
            self._engine.fake.device.streams[stream].call(lambda: self._execute(shape, addresses))
            return True

        return self._scripted("execute_async_v3", work)

    def _execute(self, shape: tuple[int, ...], addresses: dict[str, int]) -> None:
        given, wanted = self._engine.names
        batch = at(addresses[given], shape)
        output = self._run(batch)
        at(addresses[wanted], output.shape)[...] = output

    def _run(self, batch: np.ndarray) -> np.ndarray:
        given, wanted = self._engine.names
        return self._engine.session.run([wanted], {given: batch})[0]


def has_half(model: bytes) -> bool:
    """Whether a graph casts to half precision somewhere."""
    nodes = onnx.load_model_from_string(model).graph.node
    casts = [node.attribute[0].i for node in nodes if node.op_type == "Cast"]
    return onnx.TensorProto.FLOAT16 in casts


def at(address: int, shape: tuple[int, ...]) -> np.ndarray:
    """See float32 memory at an address as an array."""
    size = int(np.prod(shape))
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address)).reshape(shape)


def tensor(value: Any) -> SimpleNamespace:
    """Describe a graph's input or output as TensorRT does: -1 is any size."""
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    dtype = "float32" if kind.elem_type == onnx.TensorProto.FLOAT else "another type"
    return SimpleNamespace(name=value.name, shape=shape, dtype=dtype)
