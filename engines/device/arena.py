"""Buffers that are given back together, and kernels with one thread for each element."""

from __future__ import annotations

import numpy as np

from engines.device.api import Argument, Buffer, DeviceApi, Stream
from engines.types import Array

THREADS = 256
"""Threads of a block: the kernels wait for memory, so any multiple of 32 does."""


class Arena:
    """The memory of one sweep; a context manager that gives all of it back.

    Parameters
    ----------
    api
        Where the memory is.

    Attributes
    ----------
    stream
        Where copies and, unless said otherwise, kernels are queued.
    """

    def __init__(self, api: DeviceApi) -> None:
        self.api, self.stream = api, api.stream()
        self._streams = [self.stream]
        self._buffers: list[Buffer] = []
        self._hosts: list[Array] = []

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for buffer in self._buffers:
            buffer.free()
        for stream in self._streams:
            stream.close()

    def open_stream(self) -> Stream:
        """Open another stream."""
        self._streams.append(self.api.stream())
        return self._streams[-1]

    def floats(self, *shape: int) -> Buffer:
        """Allocate a float32 array of unknown content."""
        return self.bytes(4 * int(np.prod(shape, dtype=np.int64)))

    def bytes(self, nbytes: int) -> Buffer:
        """Allocate bytes of unknown content."""
        self._buffers.append(self.api.allocate(nbytes))
        return self._buffers[-1]

    def zeros(self, nbytes: int) -> Buffer:
        """Allocate bytes and queue clearing them."""
        buffer = self.bytes(nbytes)
        self.api.fill(buffer, 0, self.stream)
        return buffer

    def upload(self, array: Array) -> Buffer:
        """Allocate and queue a copy of a host array, which is kept until the arena is left."""
        host = np.ascontiguousarray(array)
        self._hosts.append(host)
        buffer = self.bytes(host.nbytes)
        self.api.copy_in(buffer, host, self.stream)
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Give one buffer back early, after all that is queued."""
        self.stream.synchronize()
        self._buffers.remove(buffer)
        buffer.free()

    def launch(
        self,
        kernel: str,
        count: int,
        *arguments: Argument | Buffer,
        stream: Stream | None = None,
    ) -> None:
        """Queue a kernel with at least `count` threads."""
        plain = [pointer(one) if not isinstance(one, np.generic) else one for one in arguments]
        blocks = (max(1, -(-count // THREADS)), 1, 1)
        self.api.launch(kernel, blocks, (THREADS, 1, 1), plain, stream or self.stream)


def pointer(buffer: Buffer, offset: int = 0) -> np.uint64:
    """Make the address of a buffer, `offset` bytes from its start, a kernel's argument."""
    return np.uint64(buffer.pointer + offset)


__all__ = ["THREADS", "Arena", "pointer"]
