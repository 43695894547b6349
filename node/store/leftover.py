"""What a crash has left of files that were being received."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread

from node.store.digest import new_digest
from node.store.files import INSTANCES, PARTS, Files, own_prefix
from node.store.part import successor_of

READ_BYTES = 1 << 20
BEFORE_GROUP = 144
"""Bytes before those that File Meta Information Group Length counts."""

_PART = re.compile(r"(?:(\d+)-)?[0-9a-f]{32}\.part")


@dataclass(frozen=True)
class LeftOver:
    """Parts of earlier processes: `half` were never acknowledged, `whole` may have been."""

    half: Sequence[Path]
    whole: Sequence[Path]


@dataclass(frozen=True)
class Content:
    """What a whole part says of itself."""

    digest: str
    transfer_syntax_uid: str
    calling_ae_title: str
    size_bytes: int
    received_at: datetime


def left_over(files: Files, slot: int, processes: int) -> LeftOver:
    """Find the parts of earlier receiver processes in this slot of this host.

    Parameters
    ----------
    processes
        How many slots there are; slot 0 also takes the parts of those that are no more.
    """
    prefix = own_prefix(INSTANCES)
    half: list[Path] = []
    whole: list[Path] = []
    for path in sorted((files.data_dir / PARTS).glob(f"{prefix}*.part")):
        name = _PART.fullmatch(path.name.removeprefix(prefix))
        if name is None:
            continue
        # 0.1 had no slots.
        number = processes if name[1] is None else int(name[1])
        if number == slot or (slot == 0 and number >= processes):
            (half if path.stat().st_nlink == 1 else whole).append(path)
    return LeftOver(half, whole)


def content_of(path: Path) -> Content:
    """Read a whole part to its end.

    Raises
    ------
    Exception
        Whatever pydicom raises at a file that a power cut has cut off.
    """
    meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
    transfer_syntax = str(meta.TransferSyntaxUID)
    digest = new_digest(transfer_syntax)
    with path.open("rb") as stream:
        stream.seek(BEFORE_GROUP + meta.FileMetaInformationGroupLength)
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
    status = path.stat()
    return Content(
        digest=digest.hexdigest(),
        transfer_syntax_uid=transfer_syntax,
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
        size_bytes=status.st_size,
        received_at=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def is_at_its_place(files: Files, path: Path, digest: str) -> bool:
    """Whether the second name of a whole part is the one its bytes ask for, or about to be."""
    place = files.instance(digest)
    return successor_of(path).exists() or (place.exists() and place.samefile(path))


def remove_all_names(files: Files, parts: Sequence[Path]) -> None:
    """Remove damaged parts, and their names in ``instances/``, which only a search can tell."""
    inodes = {path.stat().st_ino for path in parts}
    if not inodes:
        return
    for folder in (files.data_dir / INSTANCES).iterdir():
        with os.scandir(folder) as entries:
            damaged = [folder / entry.name for entry in entries if entry.inode() in inodes]
        for name in damaged:
            name.unlink()
    for part in parts:
        part.unlink(missing_ok=True)
