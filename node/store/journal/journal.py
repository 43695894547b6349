"""Writing data sets to the journal, and reading them back when there is time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, NamedTuple

import structlog

from node.errors import PermanentError
from node.store.chunk import Chunk
from node.store.direct import BLOCK, aligned, round_up
from node.store.files import JOURNAL, Files, own_prefix
from node.store.journal.block import (
    FirstBlock,
    Header,
    decode,
    decode_first,
    encode_into,
    fits,
    is_intact,
)
from node.store.journal.disk import JournalDisk
from node.store.journal.ring import Region, Ring

log = structlog.get_logger(__name__)

SMALLEST: Final = 4 << 20
LARGEST_SHARE: Final = 64
LARGEST_SHARE_OF_FREE: Final = 4
"""It takes no more than a 64th of a file system, and a quarter of what is free there."""
AT_ONCE: Final = 4 << 20
PRESSED_AT: Final = 0.75


class InOne(NamedTuple):
    """A data set with its prefix, in one piece.

    Parameters
    ----------
    memory
        Whole pages, which it begins.
    size_bytes, prefix_bytes
        Of both together, and of the prefix.
    """

    memory: memoryview
    size_bytes: int
    prefix_bytes: int

    @property
    def data_set(self) -> memoryview:
        """It alone."""
        return self.memory[self.prefix_bytes : self.size_bytes]


class Entry:
    """A data set in the journal, which keeps it until it is released."""

    def __init__(self, journal: Journal, region: Region) -> None:
        self._journal = journal
        self._region = region

    def read(self) -> Iterator[memoryview]:
        """Yield its prefix and its pieces; each is valid until the next entry is read.

        Raises
        ------
        PermanentError
            If the disk gives back other bytes than it was given.
        OSError
            If the disk fails.
        """
        return self._journal.read(self._region)

    def in_one(self) -> InOne:
        """Return the same in one piece, valid until the next entry is read; raises as `read`."""
        return self._journal.in_one(self._region)

    def release(self) -> None:
        """Its file survives a power cut by itself; never raises."""
        self._journal.release(self._region)


class Journal:
    """Takes data sets from many threads; `Entry.read` is for one thread at a time.

    Parameters
    ----------
    disk
        New, or closed in order, or restored.
    size
        Of the file, bytes.
    """

    def __init__(self, disk: JournalDisk, size: int) -> None:
        self._disk = disk
        self._size = size
        self._lock = Lock()
        self._headers: list[memoryview] = []
        self._scratch = aligned(BLOCK)
        first = _read_first(disk)
        whole = first is not None and disk.size == size
        self._key = first.key if first is not None and whole else os.urandom(16)
        self._ring = Ring(BLOCK, first.floor if first is not None else 0)
        self._ready_bytes = BLOCK
        if first is not None and whole:
            self._ring.limit = self._ready_bytes = first.ready_bytes
        else:
            disk.allocate(size)
        self._write_first()
        disk.sync()
        self._closing = Event()
        self._maker = Thread(target=self._make_ready, name="journal", daemon=True)
        self._maker.start()

    @property
    def is_pressed(self) -> bool:
        """Whether it fills: what is in it must be given files, however busy the door is."""
        with self._lock:
            return not self._ring.is_empty and self._ring.share_taken > PRESSED_AT

    @property
    def is_ready(self) -> bool:
        """Whether all of it can be used."""
        return self._ring.limit == self._size

    def write(self, prefix: bytes, chunk: Chunk, received_at: datetime) -> Entry | None:
        """Write a data set; it survives what the journal survives when this returns.

        Parameters
        ----------
        prefix
            What comes before it in its file.

        Returns
        -------
        Entry or None
            None: there is no room now, or it lies in too many pieces.

        Raises
        ------
        OSError
            If the disk fails.
        """
        places = chunk.places
        if not places or not fits(prefix, len(places)):
            return None
        begin = places[0][0] // BLOCK * BLOCK
        data = chunk.memory[begin : round_up(places[-1][0] + places[-1][1])]
        with self._lock:
            region = self._ring.take(BLOCK + len(data))
            floor = self._ring.floor
        if region is None:
            return None
        block = self._headers.pop() if self._headers else aligned(BLOCK)
        header = Header(
            region.number,
            floor,
            received_at.timestamp(),
            len(data),
            prefix,
            tuple((at - begin, size) for at, size in places),
        )
        encode_into(block, self._key, header, data)
        try:
            self._disk.write([block, data], region.offset)
        except BaseException:  # nobody will release what nobody was given
            self.release(region)
            raise
        self._headers.append(block)
        return Entry(self, region)

    def close(self) -> None:
        """Stop; what is not released is found by `restore`."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._maker.join()
        try:
            with self._lock:
                self._write_first(in_order=self._ring.is_empty)
            self._disk.sync()
        except OSError as error:  # then the next start restores what there is
            log.warning("journal.failed", error=type(error).__name__)
        self._disk.close()

    def read(self, region: Region) -> Iterator[memoryview]:
        """Yield what was written to a region; see `Entry.read`."""
        if len(self._scratch) < region.length:
            self._scratch = aligned(region.length)
        memory = self._scratch[: region.length]
        block, data = memory[:BLOCK], memory[BLOCK:]
        header = None
        if self._disk.read(memory, region.offset) == region.length:
            header = decode(block, self._key)
        if header is None or header.number != region.number or not is_intact(block, data):
            raise PermanentError("the journal does not give back what was written to it")
        yield memoryview(header.prefix)
        for at, size in header.places:
            yield data[at : at + size]

    def in_one(self, region: Region) -> InOne:
        """Return what was written to a region in one piece; see `Entry.in_one`."""
        prefix, *pieces = self.read(region)
        end = 0
        for piece in (prefix, *pieces):
            # Towards the front, where the header was: nothing is written over before it is read.
            self._scratch[end : end + len(piece)] = piece
            end += len(piece)
        return InOne(self._scratch, end, len(prefix))

    def release(self, region: Region) -> None:
        """Take a region back; never raises."""
        with self._lock:
            self._ring.give_back(region)
            if self._ring.is_empty:
                try:
                    self._write_first()
                except OSError as error:  # it only spares the next start some work
                    log.warning("journal.failed", error=type(error).__name__)

    def _write_first(self, *, in_order: bool = False) -> None:
        """Say below which entry nothing is of use."""
        first = FirstBlock(self._key, self._ring.floor, in_order, self._ready_bytes)
        block = aligned(BLOCK)
        block[:] = first.encode()
        self._disk.write_unsynced([block], 0)

    def _make_ready(self) -> None:
        """Write to all of the file once.

        What has never been written to costs a commit of the file system at its first write.
        """
        zeros = aligned(AT_ONCE)
        try:
            while self._ring.limit < self._size and not self._closing.is_set():
                limit = self._ring.limit
                more = min(AT_ONCE, self._size - limit)
                self._disk.write_unsynced([zeros[:more]], limit)
                self._disk.sync()
                with self._lock:
                    self._ring.limit = limit + more
            if self.is_ready:
                with self._lock:
                    self._ready_bytes = self._size
                    self._write_first()
                log.info("journal.ready", size_bytes=self._size)
        except OSError as error:  # what is ready can be used
            log.warning("journal.failed", error=type(error).__name__)


def open_journal(files: Files, slot: int, wanted_bytes: int, *, durable: bool) -> Journal | None:
    """Open the journal of a receiver process, or make it.

    Parameters
    ----------
    slot
        Number of the receiver process.
    wanted_bytes
        Its size; smaller on a small disk.

    Returns
    -------
    Journal or None
        None: none is wanted, the disk is too small, another process has it, it cannot be made
        (which is logged), or it must be restored first.
    """
    path = journal_path(files, slot)
    there = path.stat().st_size if path.exists() else 0
    size = _size(os.statvfs(files.data_dir), wanted_bytes, there)
    if size < SMALLEST:
        return None
    try:
        disk = JournalDisk.open(path, durable=durable)
        if disk is None:
            return None
        first = _read_first(disk)
        if disk.size and (first is None or not first.in_order):
            disk.close()
            return None
        return Journal(disk, size)
    except OSError as error:
        log.warning("journal.failed", error=type(error).__name__)
        return None


def journal_path(files: Files, slot: int) -> Path:
    """Where the journal of a receiver process of this host is."""
    return files.data_dir / JOURNAL / f"{own_prefix(JOURNAL)}{slot}"


def _read_first(disk: JournalDisk) -> FirstBlock | None:
    block = aligned(BLOCK)
    return decode_first(bytes(block)) if disk.read(block, 0) == BLOCK else None


def _size(disk: os.statvfs_result, wanted_bytes: int, there_bytes: int) -> int:
    """How large the journal is to be, if it has some bytes already; one that will do stays."""
    most = disk.f_blocks * disk.f_frsize // LARGEST_SHARE
    wanted = min(wanted_bytes, most) // AT_ONCE * AT_ONCE
    free = disk.f_bavail * disk.f_frsize // LARGEST_SHARE_OF_FREE
    size = min(wanted, free // AT_ONCE * AT_ONCE)
    return there_bytes if size <= there_bytes <= wanted else size
