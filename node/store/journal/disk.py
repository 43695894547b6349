"""The file of a journal: aligned reads and writes, past the file system's cache where it can be."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from node.store.direct import go_past_cache
from node.store.files import sync_folder

_SYNC_THIS_WRITE: Final = getattr(os, "RWF_DSYNC", 0)


class JournalDisk:
    """An open journal file, which nobody else has open. Reads and writes are of whole blocks.

    Parameters
    ----------
    durable
        Whether a write survives a power cut when it returns.
    """

    def __init__(self, path: Path, descriptor: int, *, durable: bool) -> None:
        self.path = path
        self._descriptor = descriptor
        self._durable = durable

    @classmethod
    def open(cls, path: Path, *, durable: bool) -> Self | None:
        """Open a file, made where there is none; None if another process has it.

        Raises
        ------
        OSError
            If it can be neither opened nor made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if durable:  # else the cache is what makes it fast
            go_past_cache(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor, durable=durable)

    @property
    def size(self) -> int:
        """Of the file, bytes."""
        return os.fstat(self._descriptor).st_size

    def allocate(self, size: int) -> None:
        """Have the file system set so many bytes aside, and no more, under a name that lasts.

        Raises
        ------
        OSError
            If there is no room.
        """
        os.ftruncate(self._descriptor, size)
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            # Some, like ZFS, set nothing aside; then it is allocated when it is first written.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        # The file may be new, and its folder, too.
        for folder in (self.path.parent, self.path.parent.parent):
            sync_folder(folder)

    def write(self, blocks: Sequence[memoryview], offset: int) -> None:
        """Write; durably, where the journal is.

        Raises
        ------
        OSError
            If the disk fails.
        """
        self._write(blocks, offset, _SYNC_THIS_WRITE if self._durable else 0)
        if self._durable and not _SYNC_THIS_WRITE:
            self.sync()

    def write_unsynced(self, blocks: Sequence[memoryview], offset: int) -> None:
        """Write what need not survive a power cut before the next `sync`.

        Raises
        ------
        OSError
            If the disk fails.
        """
        self._write(blocks, offset, 0)

    def _write(self, blocks: Sequence[memoryview], offset: int, flags: int) -> None:
        wanted = sum(map(len, blocks))
        written = os.pwritev(self._descriptor, blocks, offset, flags)
        if written != wanted:
            raise OSError(errno.EIO, f"{written} of {wanted} bytes went into the journal")

    def read(self, into: memoryview, offset: int) -> int:
        """Read into whole blocks of aligned memory; return how many bytes there were.

        Raises
        ------
        OSError
            If the disk fails.
        """
        return os.preadv(self._descriptor, [into], offset)

    def sync(self) -> None:
        """Make what was written, and the file itself, survive a power cut.

        Raises
        ------
        OSError
            If the disk fails.
        """
        os.fsync(self._descriptor)

    def remove(self) -> None:
        """Take the file away; it stays open."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def put_aside(self) -> None:
        """Give it a name under which nobody uses it, for somebody to look at."""
        self.path.rename(self.path.with_name(f"{self.path.name}.unreadable"))
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)
