"""The host as a device: it runs the CUDA sources, compiled by a C++ compiler.

Slow, and for checking the kernels and what queues them where there is no GPU. Work
runs when a stream is waited for, in an order that the streams allow but that a GPU
would hardly choose, so that a missing wait gives wrong numbers.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.device.api import Argument, Buffer, Extent, Mark, Stream, check_copy
from engines.device.buffer import OwnedBuffer
from engines.device.build import SOURCES
from engines.errors import BackendUnavailable, OutOfMemory
from engines.types import Array

COMPILERS = ("g++", "c++", "clang++")
"""Any of them; the first found is taken."""

_LETTERS = {np.uint64: "p", np.int32: "i", np.int64: "q", np.float32: "f"}


class HostMark:
    """The host's clock when a stream came to it."""

    def __init__(self) -> None:
        self.reached: float | None = None

    def take(self) -> None:
        """Note the time."""
        self.reached = time.perf_counter()

    def seconds_since(self, earlier: Mark) -> float:
        """Time from another mark to this one, seconds."""
        if not isinstance(earlier, HostMark):
            raise TypeError("a mark of the host is compared with marks of the host only")
        if self.reached is None or earlier.reached is None:
            raise RuntimeError("the stream has not come to the mark: synchronize first")
        return self.reached - earlier.reached

    def close(self) -> None:
        """Nothing is held."""


class HostStream:
    """A queue of functions."""

    def __init__(self, api: HostApi, handle: int) -> None:
        self._api, self.handle = api, handle
        self.queue: deque[tuple[HostStream, int] | Callable[[], None]] = deque()
        self.queued = self.done = 0

    def call(self, work: Callable[[], None]) -> None:
        """Queue a function of the host."""
        self.queue.append(work)
        self.queued += 1

    def wait_for(self, other: Stream) -> None:
        """Let what is queued from now on run after all that `other` has queued so far."""
        if not isinstance(other, HostStream):
            raise TypeError("a stream of the host waits for streams of the host only")
        self.queue.append((other, other.queued))
        self.queued += 1

    def mark(self) -> HostMark:
        """Queue noting the time at which all that was queued before is done."""
        mark = HostMark()
        self.call(mark.take)
        return mark

    def synchronize(self) -> None:
        """Run what was queued here, and of the other streams what the order brings."""
        self._api.run_until_done(self)

    def close(self) -> None:
        """Run what was queued, and forget the stream."""
        self.synchronize()
        self._api.forget(self)

    def advance(self) -> bool:
        """Run the next piece of work; False where there is none, or it has to wait."""
        if not self.queue:
            return False
        work = self.queue[0]
        if isinstance(work, tuple):
            other, count = work
            if other.done < count:
                return False
        else:
            work()
        self.queue.popleft()
        self.done += 1
        return True


class HostApi:
    """The host as a device.

    Parameters
    ----------
    room
        Bytes that may be allocated at once.
    order
        ``"late"``: a stream that is waited for runs first, the others only where it waits
        for them. ``"early"``: the others run first, as far as they can.

    Raises
    ------
    BackendUnavailable
        If there is no C++ compiler, or it does not compile the kernels.
    """

    name = "host"
    compute_capability = (0, 0)

    def __init__(self, *, room: int = 1 << 32, order: Literal["late", "early"] = "late") -> None:
        self._library = _library()
        self._room, self._order = room, order
        self._streams: list[HostStream] = []
        self._opened = self.used = 0

    def memory(self) -> tuple[int, int]:
        """Bytes that may still be allocated, and in all."""
        return self._room - self.used, self._room

    def allocate(self, nbytes: int) -> OwnedBuffer:
        """Reserve memory of unknown content.

        Raises
        ------
        OutOfMemory
            If `room` is not enough.
        """
        if self.used + nbytes > self._room:
            free = self._room - self.used
            raise OutOfMemory(f"the device has {free} bytes free, {nbytes} are wanted")
        self.used += nbytes
        # Rubbish, as on a device: whoever reads before writing finds NaN.
        memory: list[Array] = [np.full(nbytes + 255, 0xFF, dtype=np.uint8)]

        def release() -> None:
            self.finish()
            memory.clear()
            self.used -= nbytes

        return OwnedBuffer(-(-memory[0].ctypes.data // 256) * 256, nbytes, release)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make a host array: here all memory is within reach."""
        return np.empty(shape, dtype=dtype)

    def stream(self) -> HostStream:
        """Open a stream."""
        self._opened += 1
        self._streams.append(HostStream(self, self._opened))
        return self._streams[-1]

    def copy_in(self, buffer: Buffer, host: Array, stream: Stream) -> None:
        """Queue a copy to a buffer."""
        check_copy(host, buffer.nbytes)
        _own(stream).call(lambda: _move(buffer.pointer, host.ctypes.data, host.nbytes))

    def copy_out(self, host: Array, buffer: Buffer, stream: Stream) -> None:
        """Queue a copy from a buffer."""
        check_copy(host, buffer.nbytes)
        _own(stream).call(lambda: _move(host.ctypes.data, buffer.pointer, host.nbytes))

    def fill(self, buffer: Buffer, value: int, stream: Stream) -> None:
        """Queue setting every byte of a buffer."""
        _own(stream).call(lambda: _set(buffer.pointer, value, buffer.nbytes))

    def launch(
        self,
        kernel: str,
        grid: Extent,
        block: Extent,
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """Queue a kernel.

        Raises
        ------
        KeyError
            If there is no such kernel.
        TypeError
            If the arguments are not of the kernel's types: a GPU would not notice.
        """
        try:
            run, letters = self._library[kernel]
        except KeyError:
            raise KeyError(f"there is no kernel {kernel!r}") from None
        given = "".join(_LETTERS[type(argument)] for argument in arguments)
        if given != letters:
            raise TypeError(f"kernel {kernel!r} takes {letters!r}, not {given!r}")
        # One element each, in the argument's own type; a kernel takes their addresses.
        values = [np.array(argument) for argument in arguments]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        # The default holds the values until the work has run.
        _own(stream).call(lambda kept=values: run(_Extent(*grid), _Extent(*block), addresses))  # type: ignore[misc]

    def close(self) -> None:
        """Run what is still queued."""
        self.finish()

    def finish(self) -> None:
        """Run all streams to their end."""
        for stream in self._streams:
            self.run_until_done(stream)

    def forget(self, stream: HostStream) -> None:
        """Run no more work of a stream."""
        if stream in self._streams:
            self._streams.remove(stream)

    def run_until_done(self, wanted: HostStream) -> None:
        """Run `wanted` to its end, and of the others what the order brings."""
        others = [stream for stream in self._streams if stream is not wanted]
        first = [wanted, *others] if self._order == "late" else [*others, wanted]
        while wanted.queue:
            if not any(stream.advance() for stream in first):
                raise RuntimeError("the streams wait for each other")


class _Extent(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint))


def _own(stream: Stream) -> HostStream:
    if not isinstance(stream, HostStream):
        raise TypeError("the host runs streams of its own only")
    return stream


def _move(target: int, source: int, nbytes: int) -> None:
    ctypes.memmove(target, source, nbytes)


def _set(target: int, value: int, nbytes: int) -> None:
    ctypes.memset(target, value, nbytes)


def compile_host(target: Path, more: str = "") -> list[str]:
    """Compile the kernels for the host.

    Parameters
    ----------
    target
        Shared library to write. For kernel ``x`` it has ``run_x``, which takes grid, block
        and the addresses of the arguments, and ``letters_of_x``: a letter for each argument.
    more
        C++ source to follow the kernels.

    Returns
    -------
    list of str
        Names of the kernels.

    Raises
    ------
    BackendUnavailable
        If there is no C++ compiler, or it does not compile them.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BackendUnavailable(f"no C++ compiler found ({', '.join(COMPILERS)})")
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.cu")))
    names = re.findall(r'extern "C" __global__ void (\w+)\(', sources)
    here = Path(__file__).parent
    lines = [f'#include "{here / "emulation.h"}"', f'#include "{SOURCES / "kernels.cu"}"']
    lines += [f"EXPORT_KERNEL({name})" for name in names]
    # Hidden, so that two such libraries in one process never run each other's grids.
    flags = ["-x", "c++", "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    said = subprocess.run(  # noqa: S603 - the compiler and our own sources
        [compiler, *flags, "-o", str(target), "-"],
        input="\n".join([*lines, more]),
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise BackendUnavailable(f"{compiler} does not compile the kernels: {said.stderr}")
    return names


@cache
def _library() -> dict[str, tuple[Callable[..., None], str]]:
    """Compile and load the kernels; each with the letters of its parameters."""
    with tempfile.TemporaryDirectory(prefix="wetread-kernels-") as folder:
        target = Path(folder, "host.so")
        names = compile_host(target)
        library = ctypes.CDLL(str(target))
    return {name: _function(library, name) for name in names}


def _function(library: ctypes.CDLL, name: str) -> tuple[Callable[..., None], str]:
    run, letters = library[f"run_{name}"], library[f"letters_of_{name}"]
    run.argtypes, run.restype = (_Extent, _Extent, ctypes.POINTER(ctypes.c_void_p)), None
    letters.restype = ctypes.c_char_p
    return run, letters().decode()


__all__ = ["COMPILERS", "HostApi", "HostStream", "compile_host"]
