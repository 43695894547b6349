"""Reading and writing past the file system's cache, whole blocks at a time (open(2), O_DIRECT)."""

from __future__ import annotations

import errno
import fcntl
import os
from mmap import mmap
from typing import Final

BLOCK: Final = 4096
"""Place in the file, place in memory and number of bytes must be multiples of it."""
_DIRECT: Final = getattr(os, "O_DIRECT", 0)


def aligned(size: int) -> memoryview:
    """Return zeroed memory that begins at a page, as reads and writes past the cache ask for.

    Parameters
    ----------
    size
        In bytes; rounded up to whole blocks.
    """
    return memoryview(mmap(-1, round_up(size)))


def round_up(size: int) -> int:
    """The next multiple of `BLOCK`."""
    return -(-size // BLOCK) * BLOCK


def go_past_cache(descriptor: int, *, past: bool = True) -> bool:
    """Let an open file be read and written past the cache, or not any more.

    Returns
    -------
    bool
        Whether it is so; a file system may not know it.

    Raises
    ------
    OSError
        If the disk fails.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT if past else flags & ~_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return past and bool(_DIRECT)
