"""The memory that associations read into."""

from __future__ import annotations

from mmap import mmap
from threading import Lock
from typing import Final

LARGE: Final = 640 << 10
"""Bytes: a CT slice of 512 x 512 pixels comes whole, and goes to the disk in one piece."""
SMALL: Final = 64 << 10
MOST_LARGE: Final = 64
"""Associations beyond it read into a small one: together they have 40 MiB and a little."""

NO_BUFFER: Final = memoryview(b"")


class Buffers:
    """Lends memory to associations; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lent = 0

    def take(self, *, large: bool) -> memoryview:
        """Lend whole pages; large ones where asked for, and as long as there are any."""
        with self._lock:
            large = large and self._lent < MOST_LARGE
            self._lent += large
        # Of the system's own pages: in the heap, freed ones of this size would stay.
        return memoryview(mmap(-1, LARGE if large else SMALL))

    def give_back(self, buffer: memoryview) -> None:
        """Take it back; its pages go when nobody refers to it any more."""
        with self._lock:
            self._lent -= len(buffer) == LARGE
