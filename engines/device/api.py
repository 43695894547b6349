"""What the engines ask of a device: memory, streams, copies and compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engines.types import Array

Extent: TypeAlias = tuple[int, int, int]
"""Blocks of a grid, or threads of a block, along x, y and z."""

Argument: TypeAlias = np.uint64 | np.int32 | np.int64 | np.float32
"""An argument of a kernel; an address is ``np.uint64``. The type is part of the call."""


class Buffer(Protocol):
    """Memory of the device."""

    @property
    def pointer(self) -> int:
        """Address on the device, aligned to 256 bytes."""
        ...

    @property
    def nbytes(self) -> int:
        """Size as asked for, bytes."""
        ...

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""
        ...


class Mark(Protocol):
    """A place in a stream that knows when the device came to it."""

    def seconds_since(self, earlier: Mark) -> float:
        """Time from another mark to this one, on the device's own clock, seconds.

        Both must have been reached: synchronize first.
        """
        ...

    def close(self) -> None:
        """Give the mark back; a second call does nothing."""
        ...


class Stream(Protocol):
    """A queue of work on the device: in order in itself, beside all other streams."""

    @property
    def handle(self) -> int:
        """The ``cudaStream_t``, for libraries that queue work of their own."""
        ...

    def wait_for(self, other: Stream) -> None:
        """Let what is queued from now on begin after all that `other` has queued so far."""
        ...

    def mark(self) -> Mark:
        """Queue noting the time at which all that was queued before is done."""
        ...

    def synchronize(self) -> None:
        """Wait for all that was queued.

        Raises
        ------
        DeviceLost
            If the queued work broke the device's context.
        """
        ...

    def close(self) -> None:
        """Give the stream back after all that was queued; a second call does nothing."""
        ...


class DeviceApi(Protocol):
    """A device as the engines see it; used by the thread that opened it only.

    Every method raises `DeviceLost` where the context is broken, by this call or by
    earlier work that the call is the first to hear of.
    """

    @property
    def name(self) -> str:
        """Name of the device as its driver gives it."""
        ...

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Major and minor number, such as (9, 0); (0, 0) where the device is no GPU."""
        ...

    def memory(self) -> tuple[int, int]:
        """Bytes that are free now, and in all."""
        ...

    def allocate(self, nbytes: int) -> Buffer:
        """Reserve memory of unknown content.

        Raises
        ------
        OutOfMemory
            If the device has no room.
        """
        ...

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make a host array of unknown content that copies reach without a detour.

        Raises
        ------
        OutOfMemory
            If the host has no room.
        """
        ...

    def stream(self) -> Stream:
        """Open a stream."""
        ...

    def copy_in(self, buffer: Buffer, host: Array, stream: Stream) -> None:
        """Queue a copy from a C-contiguous host array to the start of a buffer.

        The array must stay as it is until the stream has come so far.

        Raises
        ------
        ValueError
            If the array is not C-contiguous or larger than the buffer.
        """
        ...

    def copy_out(self, host: Array, buffer: Buffer, stream: Stream) -> None:
        """Queue a copy from the start of a buffer that fills a C-contiguous host array.

        Raises
        ------
        ValueError
            If the array is not C-contiguous or larger than the buffer.
        """
        ...

    def fill(self, buffer: Buffer, value: int, stream: Stream) -> None:
        """Queue setting every byte of a buffer to `value`, 0 … 255."""
        ...

    def launch(
        self,
        kernel: str,
        grid: Extent,
        block: Extent,
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """Queue a kernel of ``engines/device/kernels``.

        Raises
        ------
        NotOnDevice
            If the kernels are not compiled, or not for this device.
        KeyError
            If there is no such kernel.
        """
        ...

    def close(self) -> None:
        """Let the device go; its buffers and streams cannot be used after it."""
        ...


def check_copy(host: Array, nbytes: int) -> None:
    """Check the host's side of a copy.

    Raises
    ------
    ValueError
        If the array is not C-contiguous or larger than `nbytes`.
    """
    if not host.flags.c_contiguous:
        raise ValueError("only a C-contiguous array can be copied to or from a device")
    if host.nbytes > nbytes:
        raise ValueError(f"the array has {host.nbytes} bytes, the buffer {nbytes}")


__all__ = ["Argument", "Buffer", "DeviceApi", "Extent", "Mark", "Stream", "check_copy"]
