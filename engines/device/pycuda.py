"""The device through PyCUDA.

PyCUDA comes as source and is built against the machine's own CUDA toolkit. It has no
CUDA graphs; `engines.device.cuda_bindings` has. Not yet run on a GPU;
docs/reference/performance.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from engines.device.api import Argument, Buffer, Extent, Mark, Stream, check_copy
from engines.device.buffer import OwnedBuffer
from engines.device.functions import Functions
from engines.errors import BackendUnavailable, DeviceLost, OutOfMemory
from engines.types import Array

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, which PyCUDA does not name: the default stream is not waited for."""


class PycudaMark:
    """An event of a CUDA device that keeps the time."""

    def __init__(self, driver: Any, stream: Any) -> None:
        self._driver = driver
        with errors(driver):
            self.event: Any = driver.Event()
            self.event.record(stream)

    def seconds_since(self, earlier: Mark) -> float:
        """Time from another mark to this one, seconds."""
        if not isinstance(earlier, PycudaMark):
            raise TypeError("a mark of PyCUDA is compared with marks of PyCUDA only")
        with errors(self._driver):
            return float(self.event.time_since(earlier.event)) / 1000

    def close(self) -> None:
        """Give the event back; PyCUDA does so with its last reference."""
        self.event = None


class PycudaStream:
    """A stream of a CUDA device."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        with errors(driver):
            self.stream: Any = driver.Stream(NON_BLOCKING)

    @property
    def handle(self) -> int:
        """The ``cudaStream_t``."""
        return int(self.stream.handle)

    def wait_for(self, other: Stream) -> None:
        """Let what is queued from now on begin after all that `other` has queued so far."""
        with errors(self._driver):
            event = self._driver.Event(self._driver.event_flags.DISABLE_TIMING)
            event.record(_own(other))
            self.stream.wait_for_event(event)

    def mark(self) -> PycudaMark:
        """Queue noting the time at which all that was queued before is done."""
        return PycudaMark(self._driver, self.stream)

    def synchronize(self) -> None:
        """Wait for all that was queued."""
        with errors(self._driver):
            self.stream.synchronize()

    def close(self) -> None:
        """Give the stream back; PyCUDA does so with its last reference."""
        self.stream = None


class PycudaApi:
    """A CUDA device; see `engines.device.api.DeviceApi`.

    The primary context is used, as TensorRT does; ``pycuda.autoinit`` would make one of
    its own.

    Parameters
    ----------
    index
        Number of the device, as the driver counts.
    kernels
        A fatbin; by default that of the project's own build.

    Raises
    ------
    BackendUnavailable
        If PyCUDA, the driver or the device is missing.
    """

    def __init__(self, index: int = 0, *, kernels: bytes | None = None) -> None:
        self._driver = driver = load_driver()
        try:
            driver.init()
            self._device = driver.Device(index)
            self._context = self._device.retain_primary_context()
            self._context.push()
        except driver.Error as error:
            raise BackendUnavailable(f"there is no CUDA device {index}: {error}") from error
        self._functions = Functions(self._load, self._find, kernels)

    @property
    def name(self) -> str:
        """Name of the device."""
        return str(self._device.name())

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor number."""
        major, minor = self._device.compute_capability()
        return int(major), int(minor)

    def memory(self) -> tuple[int, int]:
        """Bytes that are free now, and in all."""
        with errors(self._driver):
            free, total = self._driver.mem_get_info()
        return int(free), int(total)

    def allocate(self, nbytes: int) -> OwnedBuffer:
        """Reserve memory of unknown content."""
        with errors(self._driver):
            memory = self._driver.mem_alloc(max(nbytes, 1))

        def release() -> None:
            # The driver waits for work that is queued.
            with errors(self._driver):
                memory.free()

        return OwnedBuffer(int(memory), nbytes, release)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make a page-locked host array; it frees itself, and must not outlive `close`."""
        with errors(self._driver):
            array: Array = self._driver.pagelocked_empty(shape, dtype)
        return array

    def stream(self) -> PycudaStream:
        """Open a stream."""
        return PycudaStream(self._driver)

    def copy_in(self, buffer: Buffer, host: Array, stream: Stream) -> None:
        """Queue a copy to the device."""
        check_copy(host, buffer.nbytes)
        with errors(self._driver):
            self._driver.memcpy_htod_async(buffer.pointer, host, _own(stream))

    def copy_out(self, host: Array, buffer: Buffer, stream: Stream) -> None:
        """Queue a copy from the device."""
        check_copy(host, buffer.nbytes)
        with errors(self._driver):
            self._driver.memcpy_dtoh_async(host, buffer.pointer, _own(stream))

    def fill(self, buffer: Buffer, value: int, stream: Stream) -> None:
        """Queue setting every byte of a buffer."""
        with errors(self._driver):
            self._driver.memset_d8_async(buffer.pointer, value, buffer.nbytes, _own(stream))

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
        with errors(self._driver):
            function(*arguments, grid=grid, block=block, stream=_own(stream))

    def close(self) -> None:
        """Let the device go."""
        with errors(self._driver):
            self._context.pop()
            self._context.detach()

    def _load(self, kernels: bytes) -> Any:
        try:
            return self._driver.module_from_buffer(kernels)
        except self._driver.Error as error:
            raise BackendUnavailable(f"the GPU kernels do not load: {error}") from error

    def _find(self, module: Any, name: str) -> Any:
        try:
            return module.get_function(name)
        except self._driver.LogicError as error:
            raise KeyError(f"there is no kernel {name!r}") from error


def load_driver() -> Any:
    """Import ``pycuda.driver``, which needs the driver's library.

    Raises
    ------
    BackendUnavailable
        If it is not there.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise BackendUnavailable(
            f"PyCUDA cannot be loaded ({error}); install the CUDA toolkit and pycuda"
        ) from error


@contextmanager
def errors(driver: Any) -> Iterator[None]:
    """Make PyCUDA's errors those of the engines.

    Raises
    ------
    OutOfMemory
        If there is no room.
    DeviceLost
        On every other error: no call of ours could be refused by a sound device.
    """
    try:
        yield
    except driver.MemoryError as error:
        raise OutOfMemory(f"the device has no room ({error})") from error
    except driver.Error as error:
        raise DeviceLost(str(error)) from error


def _own(stream: Stream) -> Any:
    if not isinstance(stream, PycudaStream):
        raise TypeError("PyCUDA takes streams of its own only")
    return stream.stream


__all__ = ["PycudaApi", "PycudaMark", "PycudaStream", "errors", "load_driver"]
