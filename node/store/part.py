"""A received file on its way to its place.

At every moment its name says what it is:

- ``parts/….part``: half written, or not yet checked; nobody was told that it is stored;
- ``parts/….whole``: complete and checked, perhaps acknowledged, perhaps not yet in the index;
- only ``instances/…``: in the index.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Self

from node.store.direct import go_past_cache, round_up
from node.store.files import INSTANCES, PARTS, Files, instance_path, own_prefix
from node.store.writeback import begin_writeback

MOST_SLICES = os.sysconf("SC_IOV_MAX")
LOCK = "instances.lock"
HALF = ".part"
WHOLE = ".whole"
WRITTEN_EARLY = 256 << 10
"""So many bytes, and the disk begins with them while the rest is on its way."""


_numbers = count()


class Part:
    """One file being received. Used by one thread at a time.

    Names are text here: for each image, `pathlib` takes longer to put them together than the
    file system to look them up.

    Attributes
    ----------
    place
        Its name in ``instances/``, relative to the data directory; "" before it has one.
    """

    def __init__(
        self, files: Files, path: Path | str, descriptor: int = -1, *, durable: bool = False
    ) -> None:
        self._files = files
        self._name = os.fspath(path)
        self.place = ""
        self._target = ""
        self._replaces = False
        self._durable = durable
        self._size = 0
        self._begun = 0
        self._descriptor = descriptor

    @classmethod
    def new(cls, files: Files, slot: int, *, durable: bool) -> Self:
        """Begin a file.

        Parameters
        ----------
        slot
            Number of the receiver process; `node.store.leftover` tells by it whose a part is.
        durable
            Whether `complete` syncs its bytes.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        name = f"{own_prefix(INSTANCES)}{slot}-{_process(os.getpid())}{next(_numbers):016x}{HALF}"
        path = files.name(f"{PARTS}/{name}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        return cls(files, path, descriptor, durable=durable)

    @property
    def path(self) -> Path:
        """Where it is in ``parts/``."""
        return Path(self._name)

    @property
    def folder(self) -> str:
        """Where its first name is."""
        return os.path.dirname(self._name)  # noqa: PTH120 - see the class

    @property
    def descriptor(self) -> int:
        """Of the file while it is written, to read what is there."""
        return self._descriptor

    def append(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Write fragments at the end.

        Raises
        ------
        OSError
            If the disk is full or fails; part of them may have been written.
        """
        wanted = self._size + sum(map(len, fragments))
        while self._size < wanted:
            slices = fragments[:MOST_SLICES]
            written = os.writev(self._descriptor, slices)
            self._size += written
            if self._size < wanted:
                fragments = [*_after(slices, written), *fragments[MOST_SLICES:]]
        if self._durable and self._size - self._begun >= WRITTEN_EARLY:
            begin_writeback(self._descriptor, self._begun)
            self._begun = self._size

    def fill(self, memory: memoryview, size: int) -> None:
        """Write all of the file at once, past the file system's cache where it can be.

        Whoever reads it next does so much later; the cache would take a copy and give it to the
        disk a page at a time.

        Parameters
        ----------
        memory
            Whole blocks, at least as many as hold `size` bytes; what is behind those is cut off.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        if not _write_direct(self._descriptor, memory[: round_up(size)]):
            self.append([memory[:size]])
            return
        os.ftruncate(self._descriptor, size)
        self._size = size

    def complete(self, *, sync: bool = True) -> None:
        """Give the file the name that says that it is whole.

        A durable part's bytes are synced then; that its name is, is left to the caller. Until
        both are, a power cut may leave the name with fewer bytes, which its size tells.

        Parameters
        ----------
        sync
            False: the caller does that, too, for many at once; see `sync`.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        # The size tells a file that a power cut has cut off from one that it has not.
        whole = f"{self._name.removesuffix(HALF)}-{self._size}{WHOLE}"
        os.rename(self._name, whole)  # noqa: PTH104 - see the class
        self._name = whole
        if self._durable and sync:
            # Behind the new name: one commit of the file system's journal has both then.
            os.fsync(self._descriptor)
        self._close()

    def sync(self) -> None:
        """Sync the bytes of a whole file, which is not open any more.

        Raises
        ------
        OSError
            If the disk fails.
        """
        descriptor = os.open(self._name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def publish(self, digest: str) -> str:
        """Give a whole file its place as well, and return the folder that has the new name.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        self.place = instance_path(digest)
        self._target = self._files.name(self.place)
        try:
            os.link(self._name, self._target)
        except FileExistsError:
            self._replace(Path(self._target))
        return os.path.dirname(self._target)  # noqa: PTH120 - see the class

    def _replace(self, target: Path) -> None:
        """Take the place of the same bytes, or of what a power cut has left of them."""
        # The index may have what is there: that goes only when its successor is on the disk.
        self.sync()
        with _alone(self._files):
            if target.exists() and target.samefile(self.path):
                return
            self._replaces = True
            successor = successor_of(self.path)
            with suppress(FileExistsError):
                successor.hardlink_to(self.path)
            successor.rename(target)

    def remove(self) -> None:
        """Take its name in ``parts/`` away; never raises."""
        self._close()
        # What stays is found at the next start.
        with suppress(OSError):
            os.unlink(self._name)  # noqa: PTH108 - see the class
        if self._replaces:
            with suppress(OSError):
                successor_of(self.path).unlink()

    def withdraw(self) -> None:
        """Take both names away, because the file is no input; never raises.

        A file that was at its place before stays: the index may have that one.
        """
        if self._target and not self._replaces:
            target = Path(self._target)
            with suppress(OSError), _alone(self._files):
                # Another thread may have put the same bytes there since.
                if target.samefile(self.path):
                    target.unlink()
        self.remove()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):
                os.close(descriptor)


@lru_cache(1)
def _process(_pid: int) -> str:
    """What tells the files of this process from those that another has left, or its parent."""
    return os.urandom(8).hex()


def successor_of(part: Path) -> Path:
    """Return the name of a link that is about to be renamed over what is at a part's place."""
    return part.with_name(f"{part.name}.place")


def _write_direct(descriptor: int, blocks: memoryview) -> bool:
    """Write to the beginning of a file past the cache; False where the file system cannot."""
    if not go_past_cache(descriptor):
        return False
    try:
        written = os.pwrite(descriptor, blocks, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        go_past_cache(descriptor, past=False)
        return False
    if written != len(blocks):
        raise OSError(errno.ENOSPC, f"{written} of {len(blocks)} bytes were written")
    return True


def _after(slices: Sequence[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """What is left of slices of which so many bytes have been written."""
    rest: list[bytes | memoryview] = []
    for one in slices:
        if written >= len(one):
            written -= len(one)
        else:
            rest.append(memoryview(one)[written:])
            written = 0
    return rest


@contextmanager
def _alone(files: Files) -> Iterator[None]:
    """Keep all threads and processes from changing what is at a place, for a moment."""
    with (files.data_dir / LOCK).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
