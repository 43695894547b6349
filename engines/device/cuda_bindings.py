"""The device through NVIDIA's own bindings of the CUDA driver, package ``cuda-bindings``.

Not yet run on a GPU; docs/reference/performance.md.
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.device.api import Argument, Buffer, Extent, Mark, Stream, check_copy
from engines.device.buffer import OwnedBuffer
from engines.device.functions import Functions
from engines.errors import BackendUnavailable, DeviceLost, NotOnDevice, OutOfMemory
from engines.types import Array

_C_TYPES = {
    np.uint64: ctypes.c_uint64,
    np.int32: ctypes.c_int32,
    np.int64: ctypes.c_int64,
    np.float32: ctypes.c_float,
}


class CudaMark:
    """An event of a CUDA device that keeps the time."""

    def __init__(self, driver: Driver, stream: Any) -> None:
        self._driver, self._open = driver, True
        self.event = driver("cuEventCreate", driver.module.CUevent_flags.CU_EVENT_DEFAULT)
        driver("cuEventRecord", self.event, stream)

    def seconds_since(self, earlier: Mark) -> float:
        """Time from another mark to this one, seconds."""
        if not isinstance(earlier, CudaMark):
            raise TypeError("a mark of CUDA is compared with marks of CUDA only")
        return float(self._driver("cuEventElapsedTime", earlier.event, self.event)) / 1000

    def close(self) -> None:
        """Give the event back."""
        if self._open:
            self._open = False
            self._driver("cuEventDestroy", self.event)


class CudaStream:
    """A stream of a CUDA device."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._open = driver, True
        self.stream = driver("cuStreamCreate", driver.module.CUstream_flags.CU_STREAM_NON_BLOCKING)

    @property
    def handle(self) -> int:
        """The ``cudaStream_t``."""
        return int(self.stream)

    def wait_for(self, other: Stream) -> None:
        """Let what is queued from now on begin after all that `other` has queued so far."""
        flags = self._driver.module.CUevent_flags.CU_EVENT_DISABLE_TIMING
        event = self._driver("cuEventCreate", flags)
        self._driver("cuEventRecord", event, other.handle)
        self._driver("cuStreamWaitEvent", self.stream, event, 0)
        self._driver("cuEventDestroy", event)  # the driver keeps it until it has happened

    def mark(self) -> CudaMark:
        """Queue noting the time at which all that was queued before is done."""
        return CudaMark(self._driver, self.stream)

    def synchronize(self) -> None:
        """Wait for all that was queued."""
        self._driver("cuStreamSynchronize", self.stream)

    def close(self) -> None:
        """Give the stream back; the driver does so after all that was queued."""
        if self._open:
            self._open = False
            self._driver("cuStreamDestroy", self.stream)


class Graph:
    """Work that was captured once and is queued as a whole: one call for many launches.

    It holds the addresses and shapes of its capture; other ones need another capture.
    """

    def __init__(self, driver: Driver, graph: Any) -> None:
        self._driver, self._graph = driver, graph
        self._ready = driver("cuGraphInstantiate", graph, 0)

    def launch(self, stream: Stream) -> None:
        """Queue the captured work."""
        self._driver("cuGraphLaunch", self._ready, stream.handle)

    def close(self) -> None:
        """Give the graph back."""
        self._driver("cuGraphExecDestroy", self._ready)
        self._driver("cuGraphDestroy", self._graph)


class CudaBindingsApi:
    """A CUDA device; see `engines.device.api.DeviceApi`.

    The primary context is used, as TensorRT does.

    Parameters
    ----------
    index
        Number of the device, as the driver counts.
    kernels
        A fatbin; by default that of the project's own build.

    Raises
    ------
    BackendUnavailable
        If the package, the driver or the device is missing.
    """

    def __init__(self, index: int = 0, *, kernels: bytes | None = None) -> None:
        self._driver = driver = Driver()
        self._device = driver.open(index)
        self._functions = Functions(driver.load, driver.function, kernels)

    @property
    def name(self) -> str:
        """Name of the device."""
        return str(self._driver("cuDeviceGetName", 256, self._device).split(b"\0")[0].decode())

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor number."""
        names = self._driver.module.CUdevice_attribute
        major, minor = (
            int(self._driver("cuDeviceGetAttribute", attribute, self._device))
            for attribute in (
                names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        return major, minor

    def memory(self) -> tuple[int, int]:
        """Bytes that are free now, and in all."""
        free, total = self._driver("cuMemGetInfo")
        return int(free), int(total)

    def allocate(self, nbytes: int) -> OwnedBuffer:
        """Reserve memory of unknown content."""
        pointer = self._driver("cuMemAlloc", max(nbytes, 1))
        # The driver waits for work that is queued.
        return OwnedBuffer(int(pointer), nbytes, lambda: self._driver("cuMemFree", pointer))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make a page-locked host array; it frees itself, and must not outlive `close`."""
        return np.asarray(_Pinned(self._driver, shape, np.dtype(dtype)))

    def stream(self) -> CudaStream:
        """Open a stream."""
        return CudaStream(self._driver)

    def copy_in(self, buffer: Buffer, host: Array, stream: Stream) -> None:
        """Queue a copy to the device."""
        check_copy(host, buffer.nbytes)
        self._driver(
            "cuMemcpyHtoDAsync", buffer.pointer, host.ctypes.data, host.nbytes, stream.handle
        )

    def copy_out(self, host: Array, buffer: Buffer, stream: Stream) -> None:
        """Queue a copy from the device."""
        check_copy(host, buffer.nbytes)
        self._driver(
            "cuMemcpyDtoHAsync", host.ctypes.data, buffer.pointer, host.nbytes, stream.handle
        )

    def fill(self, buffer: Buffer, value: int, stream: Stream) -> None:
        """Queue setting every byte of a buffer."""
        self._driver("cuMemsetD8Async", buffer.pointer, value, buffer.nbytes, stream.handle)

    def launch(
        self,
        kernel: str,
        grid: Extent,
        block: Extent,
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """Queue a kernel."""
        function = self._functions[kernel]
        values = tuple(argument.item() for argument in arguments)
        types = tuple(_C_TYPES[type(argument)] for argument in arguments)
        self._driver(
            "cuLaunchKernel", function, *grid, *block, 0, stream.handle, (values, types), 0
        )

    def capture(self, work: Callable[[], None], stream: Stream) -> Graph:
        """Capture what `work` queues on `stream`, without running it.

        Call `work` once before: libraries allocate on their first call, which a capture
        does not allow. Other threads may go on with the device meanwhile.
        """
        modes = self._driver.module.CUstreamCaptureMode
        mode = modes.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._driver("cuStreamBeginCapture", stream.handle, mode)
        try:
            work()
        finally:
            graph = self._driver("cuStreamEndCapture", stream.handle)
        return Graph(self._driver, graph)

    def close(self) -> None:
        """Let the device go."""
        if self._functions.module is not None:
            self._driver("cuModuleUnload", self._functions.module)
        self._driver("cuCtxPopCurrent")
        self._driver("cuDevicePrimaryCtxRelease", self._device)


class Driver:
    """Calls of the CUDA driver whose errors are exceptions of the engines.

    Raises
    ------
    BackendUnavailable
        If the package ``cuda-bindings`` is not installed.
    """

    def __init__(self) -> None:
        try:
            self.module: Any = importlib.import_module("cuda.bindings.driver")
        except ImportError as error:
            raise BackendUnavailable(
                f"cuda-bindings cannot be loaded ({error}); install wetread[tensorrt]"
            ) from error

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Call a function of the driver; one result as itself, several as a tuple.

        Raises
        ------
        OutOfMemory
            If there is no room.
        NotOnDevice
            If work cannot be captured.
        DeviceLost
            On every other error: no call of ours could be refused by a sound device.
        """
        code, *results = getattr(self.module, function)(*arguments)
        if code == self.module.CUresult.CUDA_SUCCESS:
            return results[0] if len(results) == 1 else tuple(results)
        if code == self.module.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemory(f"the device has no room ({function}: {code.name})")
        if "STREAM_CAPTURE" in code.name:
            raise NotOnDevice(f"the network cannot be captured ({function}: {code.name})")
        raise DeviceLost(f"{function}: {code.name}")

    def open(self, index: int) -> Any:
        """Make a device's primary context the current one of this thread.

        Raises
        ------
        BackendUnavailable
            If there is no driver or no such device.
        """
        try:
            self("cuInit", 0)
            device = self("cuDeviceGet", index)
            self("cuCtxPushCurrent", self("cuDevicePrimaryCtxRetain", device))
        except (RuntimeError, DeviceLost, OutOfMemory) as error:
            raise BackendUnavailable(f"there is no CUDA device {index}: {error}") from error
        return device

    def load(self, kernels: bytes) -> Any:
        """Load compiled kernels.

        Raises
        ------
        BackendUnavailable
            If they do not run on this device.
        """
        try:
            return self("cuModuleLoadData", kernels)
        except DeviceLost as error:
            raise BackendUnavailable(f"the GPU kernels do not load: {error}") from error

    def function(self, kernels: Any, name: str) -> Any:
        """Find a kernel.

        Raises
        ------
        KeyError
            If there is no such kernel.
        """
        code, function = self.module.cuModuleGetFunction(kernels, name.encode())
        if code != self.module.CUresult.CUDA_SUCCESS:
            raise KeyError(f"there is no kernel {name!r}")
        return function


class _Pinned:
    """Page-locked memory as NumPy reads it; freed when no array uses it any more."""

    def __init__(self, driver: Driver, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        nbytes = max(int(np.prod(shape)) * dtype.itemsize, 1)
        address = int(driver("cuMemAllocHost", nbytes))
        self.__array_interface__ = {
            "shape": shape,
            "typestr": dtype.str,
            "data": (address, False),
            "version": 3,
        }
        weakref.finalize(self, driver, "cuMemFreeHost", address)


__all__ = ["CudaBindingsApi", "CudaMark", "CudaStream", "Driver", "Graph"]
