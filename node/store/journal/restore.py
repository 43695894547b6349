"""After a crash: the files that were only in a journal are made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from node.store.direct import BLOCK, aligned
from node.store.files import JOURNAL, PARTS, Files, own_prefix, sync_folder
from node.store.journal.block import FirstBlock, Header, decode, decode_first, is_intact
from node.store.journal.disk import JournalDisk
from node.store.part import Part

log = structlog.get_logger(__name__)

LARGEST_ENTRY: Final = 16 << 20
READ_AT_ONCE: Final = 4 << 20


def restore(files: Files, slot: int, processes: int, *, keep: bool = True) -> int:
    """Make whole parts of what the journals of earlier processes in this slot have left.

    What comes back may be in the index already; it is told by its bytes then. Do it before
    those journals are opened.

    Parameters
    ----------
    processes
        How many slots there are; slot 0 also looks after the journals of those that are no more,
        which are removed.
    keep
        Whether this slot's own is to be used again.

    Returns
    -------
    int
        How many parts were made.

    Raises
    ------
    OSError
        If the disk is full or fails; the journal is left as it is then.
    """
    made = 0
    prefix = own_prefix(JOURNAL)
    for path in sorted((files.data_dir / JOURNAL).glob(f"{prefix}*")):
        number = re.fullmatch(r"\d+", path.name.removeprefix(prefix))
        if number is None:
            continue
        gone = int(number[0]) >= processes
        if int(number[0]) == slot or (slot == 0 and gone):
            made += _restore(files, path, slot, keep=keep and not gone)
    return made


def _restore(files: Files, path: Path, slot: int, *, keep: bool) -> int:
    """Restore one journal, and leave it in order, or not at all."""
    disk = JournalDisk.open(path, durable=True)
    if disk is None:
        return 0  # it is in use: nothing of it is left over
    try:
        block = aligned(BLOCK)
        first = decode_first(bytes(block)) if disk.read(block, 0) == BLOCK else None
        if first is None:
            # Nothing is acknowledged before this block is on the disk.
            if any(block):
                log.error("journal.unreadable", journal=path.name)
                disk.put_aside()
            else:
                disk.remove()
            return 0
        made, floor = 0, first.floor
        if not first.in_order:
            made, floor = _make_parts(files, disk, first, slot)
        if keep:
            block[:] = FirstBlock(first.key, floor, True, first.ready_bytes).encode()
            disk.write([block], 0)
        else:
            disk.remove()
    finally:
        disk.close()
    if made:
        log.info("journal.restored", instances=made)
    return made


def _make_parts(files: Files, disk: JournalDisk, first: FirstBlock, slot: int) -> tuple[int, int]:
    """Make the parts; return how many, and the number that comes after all entries."""
    floor, following, numbers = first.floor, first.floor, {}
    for offset, header in _entries(disk, first.key):
        floor, following = max(floor, header.floor), max(following, header.number + 1)
        numbers[offset] = header.number
    wanted = [offset for offset, number in numbers.items() if number >= floor]
    block = aligned(BLOCK)
    for offset in wanted:
        disk.read(block, offset)
        entry = _entry(disk, first.key, block, offset)
        if entry is None:
            raise OSError("the journal does not give back what was read a moment ago")
        _make_part(files, slot, *entry)
    if wanted:
        sync_folder(files.data_dir / PARTS)
    return len(wanted), following


def _make_part(files: Files, slot: int, header: Header, data: memoryview) -> None:
    part = Part.new(files, slot, durable=True)
    try:
        part.append([header.prefix, *(data[at : at + size] for at, size in header.places)])
        # The time is when it came: the next step reads it there.
        os.utime(part.descriptor, (header.received_at, header.received_at))
        part.complete()
    except BaseException:  # the next start makes it of the same entry: half of it must not stay
        part.remove()
        raise


def _entries(disk: JournalDisk, key: bytes) -> Iterator[tuple[int, Header]]:
    """Yield offset and header of the intact entries.

    Every block is looked at: what was there before has been written over in part.
    """
    window = aligned(READ_AT_ONCE)
    offset, size = BLOCK, disk.size
    while offset < size:
        read = disk.read(window, offset)
        if read < BLOCK:
            return
        at = 0
        while at + BLOCK <= read:
            block = window[at : at + BLOCK]
            entry = _entry(disk, key, block, offset + at)
            if entry is None:
                at += BLOCK
                continue
            yield offset + at, entry[0]
            at += BLOCK + entry[0].data_bytes
        offset += at


def _entry(
    disk: JournalDisk, key: bytes, block: memoryview, offset: int
) -> tuple[Header, memoryview] | None:
    """Read the entry whose header is in a block, as at an offset; None if it is not intact."""
    header = decode(block, key)
    if header is None or header.data_bytes > LARGEST_ENTRY:
        return None
    data = aligned(header.data_bytes)
    if disk.read(data, offset + BLOCK) != header.data_bytes or not is_intact(block, data):
        return None
    return header, data
