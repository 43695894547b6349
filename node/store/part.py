"""A received file on its way to its place, and what a crash has left of some.

A part has one name while it grows, in ``parts/``. Once whole it gets a second one, its place in
``instances/``, and loses the first after the index has it. So at every moment the names say
what a file is:

- one name, in ``parts/``: half written, or not yet checked; nobody was told that it is stored;
- two names: whole, perhaps not yet in the index;
- one name, in ``instances/``: in the index.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from node.store.files import INSTANCES, PARTS, Files, instance_path, own_prefix

MOST_SLICES = os.sysconf("SC_IOV_MAX")
LOCK = "instances.lock"


class Part:
    """One file being received. Used by one thread at a time.

    Attributes
    ----------
    path
        Its first name.
    place
        Its second one, relative to the data directory; "" before it has one.
    """

    def __init__(self, files: Files, path: Path, flags: int) -> None:
        self._files = files
        self.path = path
        self.place = ""
        self._target: Path | None = None
        self._replaces = False
        self._descriptor = os.open(path, flags, 0o666)

    @classmethod
    def new(cls, files: Files, slot: int) -> Self:
        """Begin a file.

        Parameters
        ----------
        slot
            Number of the receiver process; `node.store.leftover` tells by it whose a part is.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        name = f"{own_prefix(INSTANCES)}{slot}-{uuid.uuid4().hex}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return cls(files, files.data_dir / PARTS / name, flags)

    @classmethod
    def found(cls, files: Files, path: Path) -> Self:
        """Take up a file that is there."""
        return cls(files, path, os.O_RDONLY)

    @property
    def descriptor(self) -> int:
        """Of the open file, to read what has been written."""
        return self._descriptor

    def append(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Write fragments at the end.

        Raises
        ------
        OSError
            If the disk is full or fails; part of them may have been written.
        """
        while fragments:
            slices = fragments[:MOST_SLICES]
            written = os.writev(self._descriptor, slices)
            fragments = [*_after(slices, written), *fragments[MOST_SLICES:]]

    def publish(self, digest: str, *, durable: bool) -> Path:
        """Give the whole file its place, and return the folder that has the new name.

        Parameters
        ----------
        durable
            Sync its bytes; the folder is left to the caller, who may have several files.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        self.place = instance_path(digest)
        self._target = target = self._files.path(self.place)
        try:
            # Before the sync, which so writes the number of names as well.
            target.hardlink_to(self.path)
            if durable:
                os.fsync(self._descriptor)
        except FileExistsError:
            self._replace(target)
        self._close()
        return target.parent

    def _replace(self, target: Path) -> None:
        """Take the place of the same bytes, or of what a power cut has left of them."""
        # The index may have what is there: that goes only when its successor is on the disk.
        os.fsync(self._descriptor)
        with _alone(self._files):
            if target.exists() and target.samefile(self.path):
                return
            self._replaces = True
            successor = successor_of(self.path)
            with suppress(FileExistsError):
                successor.hardlink_to(self.path)
            successor.rename(target)

    def remove(self) -> None:
        """Take the first name away; never raises."""
        self._close()
        # What stays is found at the next start.
        with suppress(OSError):
            self.path.unlink()
        if self._replaces:
            with suppress(OSError):
                successor_of(self.path).unlink()

    def leave(self) -> None:
        """Leave it as it is to the next start; never raises."""
        self._close()

    def withdraw(self) -> None:
        """Take both names away, because the index does not take the file; never raises.

        A file that was at its place before stays: the index may have that one.
        """
        if self._target is not None and not self._replaces:
            with suppress(OSError), _alone(self._files):
                # Another thread may have put the same bytes there since.
                if self._target.samefile(self.path):
                    self._target.unlink()
        self.remove()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):
                os.close(descriptor)


def successor_of(part: Path) -> Path:
    """Return the name of a link that is about to be renamed over what is at a part's place."""
    return part.with_name(f"{part.name}.place")


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
