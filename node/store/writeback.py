"""Letting the disk begin with a file before the rest of it is there."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Final

SYNC_FILE_RANGE_WRITE: Final = 2
"""Start writing, do not wait (linux/fs.h)."""


def begin_writeback(descriptor: int, start: int) -> None:
    """Have the disk begin to write a file from `start` (bytes) on; returns at once.

    It makes the sync at the end shorter and promises nothing: only that sync does, and it
    reports what failed until then (sync_file_range(2)). Where the system has no such call,
    nothing happens.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, start, 0, SYNC_FILE_RANGE_WRITE)


def _system_call() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call


_sync_file_range = _system_call()

__all__ = ["begin_writeback"]
