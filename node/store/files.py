"""Files under the data directory, written so that a crash leaves whole files or none.

``DATA_DIR/parts/`` holds what is being written, ``instances/`` what was received (see
`node.store.part`), ``journal/`` what was received a moment ago (see `node.store.journal`),
``results/`` what the node made, ``reports/`` the words of reports, which nobody but the node may
read. Every name is ours: nothing that came over the wire is ever part of a path.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PARTS = "parts"
INSTANCES = "instances"
RESULTS = "results"
JOURNAL = "journal"
REPORTS = "reports"

_INSTANCE_FOLDERS = tuple(f"{number:02x}" for number in range(256))


class Files:
    """Durable files of one data directory.

    Parameters
    ----------
    data_dir
        Created if absent. Must be one local file system with hard links: a finished file
        moves from ``parts/`` to its place without being copied.

    Raises
    ------
    OSError
        If the folders are not there and cannot be made.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._prefix = f"{data_dir}{os.sep}"
        for folder in (PARTS, INSTANCES, RESULTS, JOURNAL):
            (data_dir / folder).mkdir(parents=True, exist_ok=True)
        (data_dir / REPORTS).mkdir(mode=0o700, exist_ok=True)
        self._make_instance_folders()

    def write(
        self, relative: str, chunks: Iterable[bytes | memoryview], *, mode: int = 0o666
    ) -> Path:
        """Write a file durably: data synced, renamed into place, directory synced.

        A reader never sees half a file; a crash leaves at most an orphan in ``parts/``.
        An existing file is replaced in one step.

        Parameters
        ----------
        mode
            Its permissions, from which those that the process's umask forbids are taken.

        Returns
        -------
        Path
            Absolute path of the file.

        Raises
        ------
        OSError
            If the disk is full or fails; nothing is left behind then.
        """
        target = self.data_dir / relative
        part = self.data_dir / PARTS / f"{own_prefix(relative)}{uuid.uuid4().hex}.part"
        try:
            with open(part, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            self._make_folder(target.parent)
            part.rename(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
        return target

    def path(self, relative: str) -> Path:
        """Absolute path of a file the index names."""
        return self.data_dir / relative

    def name(self, relative: str) -> str:
        """Return `path` as text, for what is done for each image."""
        return f"{self._prefix}{relative}"

    def instance(self, digest: str) -> Path:
        """Absolute path of a received instance, wherever this version or 0.1 has put it.

        Where it is not there at all, the path that it would have.
        """
        # 0.1 spread the instances over two levels of folders.
        earlier = self.path(f"{INSTANCES}/{digest[:2]}/{digest[2:4]}/{digest}.dcm")
        return earlier if earlier.exists() else self.path(instance_path(digest))

    def sweep(self, top: str, *, unchanged_for_s: float = 0.0) -> int:
        """Remove what a crash on this host left in ``parts/``; return how many files that were.

        Call it before writing starts. What is named as whole stays: it may have been
        acknowledged, and `node.store.part` says what becomes of it.

        Parameters
        ----------
        top
            `INSTANCES`, `RESULTS`, `REPORTS` or `node.store.lane.LANE`: only what was on its way
            there, since the process that writes the other may be at work.
        unchanged_for_s
            Only files that nobody has written to for so long; where several processes write.
        """
        found = (self.data_dir / PARTS).glob(f"{own_prefix(top)}*.part")
        orphans = [part for part in found if _unchanged_for_s(part) >= unchanged_for_s]
        for orphan in orphans:
            orphan.unlink(missing_ok=True)
        return len(orphans)

    def _make_instance_folders(self) -> None:
        """Make the folders of all instances beforehand, so that none has to wait for its own."""
        top = self.data_dir / INSTANCES
        there = {folder.name for folder in top.iterdir()}
        if missing := [name for name in _INSTANCE_FOLDERS if name not in there]:
            for name in missing:
                (top / name).mkdir(exist_ok=True)
            for folder in (top, self.data_dir):
                sync_folder(folder)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        # The new directory entries must survive a power cut as well as the file in them.
        while folder != self.data_dir:
            folder = folder.parent
            sync_folder(folder)


def instance_path(digest: str) -> str:
    """Where a received instance lives, relative to the data directory."""
    return f"{INSTANCES}/{digest[:2]}/{digest}.dcm"


def study_folder(study_instance_uid: str, revision: int) -> str:
    """Where the products of one revision live, relative to the data directory."""
    study = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]
    return f"{RESULTS}/{study[:2]}/{study}/r{revision}"


def result_folder(study_instance_uid: str, revision: int, run: int) -> str:
    """Where the products of one run live, relative to the data directory."""
    return f"{study_folder(study_instance_uid, revision)}/run-{run}"


def report_folder(study_instance_uid: str) -> str:
    """Where the documents about a study's reports live, relative to the data directory."""
    study = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]
    return f"{RESULTS}/{study[:2]}/{study}/reports"


def own_prefix(relative: str) -> str:
    """First part of the names of unfinished files: which host writes, and where to."""
    return f"{_host()}-{relative.partition('/')[0]}-"


def _unchanged_for_s(path: Path) -> float:
    """Seconds since a file was written to; 0 if it has gone, or its time lies ahead."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return 0.0


@cache
def _host() -> str:
    return socket.gethostname()


def sync_folder(folder: Path | str) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
