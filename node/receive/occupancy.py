"""How many associations are open, in all receiver processes of this host together."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.config.model import Peer, Receive

_COUNT_BYTES: Final = 4


class Occupancy:
    """Counts open associations by peer, against the limits. Safe to use from many threads.

    The receiver processes share a small file: one row for each, one column for each peer. A
    process writes only its own row, so a killed one leaves nothing that its successor does not
    set right.

    Parameters
    ----------
    receive
        Limits, peers, and the number of processes.
    folder
        Where the shared file is; None: this process is alone.
    slot
        Number of this process, from 0.
    """

    def __init__(self, receive: Receive, folder: Path | None = None, slot: int = 0) -> None:
        self._total = receive.max_associations
        self._peers = receive.accept_from
        self._lock = threading.Lock()
        columns = max(1, len(self._peers))
        rows = receive.processes if folder is not None else 1
        self._first = (slot if folder is not None else 0) * columns
        self._columns = columns
        size = rows * columns * _COUNT_BYTES
        self._file: int | None = None
        if folder is None:
            self._counts = memoryview(bytearray(size)).cast("i")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"associations-{_digest(receive.accept_from, rows)}"
            self._file = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o640)
            os.ftruncate(self._file, size)
            self._counts = memoryview(mmap.mmap(self._file, size)).cast("i")
        with self._exclusive():
            for column in range(columns):
                self._counts[self._first + column] = 0

    def enter(self, peer: Peer) -> str | None:
        """Count one more association of a peer, or say which limit forbids it."""
        column = self._peers.index(peer)
        with self._exclusive():
            total, own = sum(self._counts), sum(self._counts[column :: self._columns])
            if total >= self._total:
                return f"{total} associations open; receive.max_associations is {self._total}"
            if peer.max_associations is not None and own >= peer.max_associations:
                return (
                    f"{own} associations of {peer.ae_title} open; its max_associations is "
                    f"{peer.max_associations}"
                )
            self._counts[self._first + column] += 1
        return None

    def leave(self, peer: Peer) -> None:
        """Count one association of a peer less."""
        with self._exclusive():
            self._counts[self._first + self._peers.index(peer)] -= 1

    @property
    def total(self) -> int:
        """Associations open now."""
        return sum(self._counts)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        # The file lock keeps other processes out, not other threads of this one.
        with self._lock:
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if self._file is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)


def _digest(peers: Sequence[Peer], rows: int) -> str:
    """Name a layout: processes with another list of peers must not share a file."""
    return hashlib.sha256(repr((rows, peers)).encode()).hexdigest()[:16]
