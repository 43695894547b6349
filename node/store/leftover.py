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

READ_BYTES = 1 << 20
BEFORE_GROUP = 144
"""Bytes before those that File Meta Information Group Length counts."""

_PART = re.compile(r"(?:(\d+)-)?[0-9a-f]{32}(?:\.part|-(\d+)\.whole)(\.place)?")


@dataclass(frozen=True)
class LeftOver:
    """Parts of earlier processes.

    Parameters
    ----------
    half
        Never acknowledged.
    whole
        They may have been.
    damaged
        They were whole once, and are shorter now.
    """

    half: Sequence[Path]
    whole: Sequence[Path]
    damaged: Sequence[Path]


@dataclass(frozen=True)
class Content:
    """What a whole part says of itself.

    Parameters
    ----------
    meta_bytes
        Of preamble and File Meta Information, before the data set.
    """

    transfer_syntax_uid: str
    calling_ae_title: str
    size_bytes: int
    received_at: datetime
    meta_bytes: int


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
    damaged: list[Path] = []
    for path in sorted((files.data_dir / PARTS).glob(f"{prefix}*")):
        name = _PART.fullmatch(path.name.removeprefix(prefix))
        if name is None:
            continue
        # 0.1 had no slots.
        number = processes if name[1] is None else int(name[1])
        if number != slot and not (slot == 0 and number >= processes):
            continue
        if name[2] is None or name[3] is not None:
            half.append(path)
        else:
            (whole if path.stat().st_size == int(name[2]) else damaged).append(path)
    return LeftOver(half, whole, damaged)


def content_of(path: Path) -> Content:
    """Read what the file meta information of a whole part says.

    Raises
    ------
    Exception
        Whatever pydicom raises at a file that a power cut has damaged.
    """
    meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
    status = path.stat()
    return Content(
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
        size_bytes=status.st_size,
        received_at=datetime.fromtimestamp(status.st_mtime, UTC),
        meta_bytes=BEFORE_GROUP + meta.FileMetaInformationGroupLength,
    )


def digest_of(path: Path, content: Content) -> str:
    """Read a whole part's data set for its digest, hex.

    Raises
    ------
    OSError
        If the disk fails.
    """
    digest = new_digest(content.transfer_syntax_uid)
    with path.open("rb", buffering=0) as stream:
        stream.seek(content.meta_bytes)
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


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
