"""A plan on the GPU: shapes, memory and the order in which TensorRT wants to hear of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from engines.api import DeviceJob, Slab, WindowPlan
from engines.backends.tensorrt.builder import Names, complaints
from engines.backends.tensorrt.flavour import Flavour
from engines.backends.tensorrt.graphs import Graphs
from engines.backends.tensorrt.profiles import Profile, Shape
from engines.device.api import Buffer, DeviceApi, Stream
from engines.device.sweep import segment
from engines.errors import DeviceLost, InferenceError, NotFinite, OutOfMemory
from engines.types import Array, FloatArray, LabelArray, Tensors
from engines.window import sweep

Result = TypeVar("Result")

_LEAST_BYTES = 256
"""An allocation of nothing has no address, and TensorRT wants one."""

_MEMORY_WORDS = ("out of memory", "outofmemory")


@dataclass(frozen=True)
class Loaded:
    """A deserialized plan and what must live as long as it does.

    Parameters
    ----------
    engine
        ``ICudaEngine``.
    runtime
        ``Runtime`` it came from.
    log
        Logger of both, with its last ``lines``.
    precision
        What it computes in.
    """

    engine: Any
    runtime: Any
    log: Any
    precision: str = "fp32"


@dataclass
class _Tensor:
    """One tensor on both sides of the bus."""

    host: Array
    buffer: Buffer


class TensorRTSession:
    """A plan with an execution context.

    Any thread may call it. The device's work is done by one thread of its own: a CUDA
    context belongs to the thread that made it current, and calls share the plan's memory.

    Parameters
    ----------
    flavour
        The TensorRT that loaded the plan.
    loaded
        The plan.
    device
        Memory, streams and copies; closed with the session.
    names
        Names of the input and the output.
    thread
        Executor with one thread, in which the device was opened and the plan loaded, and
        in which this is called; ended with the session.
    graphs
        Whether to capture the network's launches where shape and addresses stay the same.

    Raises
    ------
    OutOfMemory
        If there is no room for the execution context.
    """

    def __init__(
        self,
        flavour: Flavour,
        loaded: Loaded,
        device: DeviceApi,
        names: Names,
        thread: ThreadPoolExecutor,
        *,
        graphs: bool = False,
    ) -> None:
        self._loaded: Loaded | None = loaded
        self._device, self._names, self._thread = device, names, thread
        # All activations lie in memory that is ours, so that running out of it is an error
        # here and not one inside the queue.
        strategy = flavour.api.ExecutionContextAllocationStrategy.USER_MANAGED
        self._context: Any = loaded.engine.create_execution_context(strategy)
        if self._context is None:
            raise OutOfMemory(
                f"no room for the plan's execution context: {complaints(loaded.log.lines)}"
            )
        self._profiles = _profiles(loaded.engine, names.given)
        self._active: int | None = None
        self._shape: Shape | None = None
        self._stream = device.stream()
        self._graphs = Graphs(device, flavour.name, wanted=graphs)
        self._held: dict[str, _Tensor] = {}
        self._workspace: Buffer | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result's provenance must say about this session."""
        return self._graphs.notes

    def run(self, inputs: Tensors) -> Tensors:
        """Run one batch: named float32 arrays (N, C, …) in, named arrays out.

        A batch larger than the plan's largest runs in parts.

        Raises
        ------
        InferenceError
            If the shape fits no profile of the plan, or the output is not finite.
        OutOfMemory
            If the GPU has no room for this shape; all that the session held is free then.
        DeviceLost
            If TensorRT cannot queue its work: the context of this process is broken.
        """
        if self._loaded is None:
            raise InferenceError("the session is closed")
        given, wanted = self._names.given, self._names.wanted
        if set(inputs) != {given}:
            raise InferenceError(f"the model failed: it takes {given!r}, not {sorted(inputs)}")
        batch = np.ascontiguousarray(inputs[given], dtype=np.float32)
        number = self._fitting(batch.shape)
        size = self._profiles[number].most[0]
        parts = self.on_device(
            lambda _: [
                self._run(number, batch[start : start + size])
                for start in range(0, len(batch), size)
            ]
        )
        output: Array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not np.isfinite(output).all():
            raise NotFinite(f"output {wanted!r} is not finite", self._loaded.precision)
        return {wanted: output}

    def sweep(self, volume: FloatArray, plan: WindowPlan) -> Iterator[Slab]:
        """Run a whole volume (C, k, j, i), window by window: blended slabs in order of k."""
        given, wanted = self._names.given, self._names.wanted
        return sweep(lambda batch: self.run({given: batch})[wanted], volume, plan)

    def label(self, job: DeviceJob) -> LabelArray:
        """Take a volume's whole way on the GPU: labels uint8, axes (k, j, i), of the job's box.

        Raises
        ------
        NotOnDevice
            If the recipe has a step that the kernels have not, or there are no kernels.
        InferenceError
            If the plan does not take the windows, or the output is not finite.
        OutOfMemory
            If the GPU has no room; all that the session held is free then.
        DeviceLost
            If the context of this process is broken.
        """
        precision = "" if self._loaded is None else self._loaded.precision
        try:
            return self.on_device(lambda api: segment(api, self, job.stored, job.recipe))
        except NotFinite as error:
            raise NotFinite(str(error), precision) from error
        except OutOfMemory:
            self.on_device(lambda _: self._free())
            raise

    def on_device(self, work: Callable[[DeviceApi], Result]) -> Result:
        """Do some work with the device, in its thread, and wait for it.

        Raises
        ------
        InferenceError
            If the session is closed.
        """
        if self._loaded is None:
            raise InferenceError("the session is closed")
        return self._thread.submit(work, self._device).result()

    def enqueue(self, given: int, made: int, shape: Shape, stream: Stream) -> None:
        """Queue one batch that is on the device already; nothing is waited for.

        To be called in the device's thread: inside `on_device`.

        Parameters
        ----------
        given, made
            Addresses of input and output: float32, C-contiguous.
        shape
            Of the input, (N, C, …); N is at most the plan's largest batch.
        stream
            Where to queue. Batches of one session go to one stream: they share its memory.

        Raises
        ------
        InferenceError
            If the shape fits no profile of the plan.
        OutOfMemory
            If the GPU has no room for this shape.
        DeviceLost
            If TensorRT cannot queue its work.
        """
        if self._loaded is None:
            raise InferenceError("the session is closed")
        number = self._fitting(shape)
        if shape[0] > self._profiles[number].most[0]:
            raise InferenceError(
                f"the model failed: its plan takes {self._profiles[number].most[0]} at once, "
                f"not {shape[0]}"
            )
        self._prepare(number, shape, stream)
        self._queue(given, made, stream)

    def close(self) -> None:
        """Give the GPU's memory back; the session cannot be used after it."""
        if self._loaded is not None:
            try:
                self._thread.submit(self._close).result()
            finally:
                self._thread.shutdown()

    def _close(self) -> None:
        # The context before its memory, the engine before its runtime and their logger.
        self._context = None
        try:
            self._free()
        finally:
            self._loaded = None
            self._device.close()

    def _fitting(self, shape: Shape) -> int:
        """Find the first profile that takes images of this size, whatever the batch."""
        for number, profile in enumerate(self._profiles):
            inside = zip(profile.least[1:], shape[1:], profile.most[1:], strict=False)
            if (
                len(shape) == len(profile.least)
                and shape[0] >= profile.least[0]
                and all(least <= size <= most for least, size, most in inside)
            ):
                return number
        asked = "×".join(map(str, shape))
        known = "; ".join(f"profile {n}: {profile}" for n, profile in enumerate(self._profiles))
        raise InferenceError(f"the model failed: its plan does not take shape {asked} ({known})")

    def _run(self, number: int, batch: FloatArray) -> Array:
        self._prepare(number, batch.shape, self._stream)
        source, target = self._hold(batch.shape)
        np.copyto(source.host, batch)
        self._device.copy_in(source.buffer, source.host, self._stream)
        self._queue(source.buffer.pointer, target.buffer.pointer, self._stream)
        self._device.copy_out(target.host, target.buffer, self._stream)
        self._stream.synchronize()
        # The host array is written again by the next run.
        return target.host.copy()

    def _prepare(self, number: int, shape: Shape, stream: Stream) -> None:
        """Tell the context the shapes; nothing if they are the last ones."""
        if (number, shape) == (self._active, self._shape):
            return
        self._shape = None
        self._graphs.clear()
        context = self._context
        if number != self._active:
            if not context.set_optimization_profile_async(number, stream.handle):
                self._refuse(f"set_optimization_profile_async({number})")
            stream.synchronize()
            self._active = number
        asked = "×".join(map(str, shape))
        if not context.set_input_shape(self._names.given, shape):
            raise InferenceError(
                f"the model failed: TensorRT does not take shape {asked} "
                f"(profile {number}: {self._profiles[number]})"
            )
        if lacking := context.infer_shapes():
            raise InferenceError(
                f"the model failed: with shape {asked} TensorRT cannot tell the shape of "
                f"{', '.join(lacking)}"
            )
        self._make_room(context.update_device_memory_size_for_shapes())
        self._shape = shape

    def _make_room(self, need: int) -> None:
        """Give the context memory for its activations; more only where it needs more."""
        if self._workspace is None or self._workspace.nbytes < need:
            if self._workspace is not None:
                self._workspace.free()
                self._workspace = None
            self._workspace = self._allocated(need)
        self._context.set_device_memory(self._workspace.pointer, self._workspace.nbytes)

    def _hold(self, shape: Shape) -> tuple[_Tensor, _Tensor]:
        """Give both tensors' memory for a shape that was prepared."""
        given, wanted = self._names.given, self._names.wanted
        output = tuple(self._context.get_tensor_shape(wanted))
        for name, size in ((given, shape), (wanted, output)):
            held = self._held.get(name)
            if held is not None and held.host.shape == size:
                continue
            if held is not None:
                self._held.pop(name).buffer.free()
            host = self._device.pinned(size, np.float32)
            self._held[name] = _Tensor(host, self._allocated(host.nbytes))
        return self._held[given], self._held[wanted]

    def _allocated(self, nbytes: int) -> Buffer:
        try:
            return self._device.allocate(max(nbytes, _LEAST_BYTES))
        except OutOfMemory:
            self._free()
            raise

    def _queue(self, given: int, made: int, stream: Stream) -> None:
        key = (self._shape, given, made)
        self._graphs.queue(key, lambda: self._enqueue(given, made, stream), stream)

    def _enqueue(self, given: int, made: int, stream: Stream) -> None:
        for name, address in ((self._names.given, given), (self._names.wanted, made)):
            if not self._context.set_tensor_address(name, address):
                raise InferenceError(
                    f"the model failed: TensorRT does not take memory for {name!r}"
                )
        if not self._context.execute_async_v3(stream.handle):
            self._refuse("execute_async_v3")

    def _free(self) -> None:
        """Free all memory of the device; the next run asks for it again."""
        self._shape = None
        self._graphs.clear()
        while self._held:
            self._held.popitem()[1].buffer.free()
        if self._workspace is not None:
            self._workspace.free()
            self._workspace = None

    def _refuse(self, call: str) -> None:
        """Raise what a call that gave False means."""
        lines = self._loaded.log.lines if self._loaded else ()
        said = complaints(lines)
        if any(word in said.lower() for word in _MEMORY_WORDS):
            self._free()
            raise OutOfMemory(f"the GPU has no room left ({said})")
        raise DeviceLost(f"TensorRT's {call} failed ({said}); this process must end")


def _profiles(engine: Any, given: str) -> list[Profile]:
    return [
        Profile(*(tuple(shape) for shape in engine.get_tensor_profile_shape(given, number)))
        for number in range(engine.num_optimization_profiles)
    ]


__all__ = ["Loaded", "TensorRTSession"]
