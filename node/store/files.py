"""Files under the data directory, written so that a crash leaves whole files or none.

``DATA_DIR/parts/`` holds what is being written, ``instances/`` what was received,
``results/`` what the node made. Every name is ours: nothing that came over the wire is
ever part of a path.
"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterable
from pathlib import Path

PARTS = "parts"
INSTANCES = "instances"
RESULTS = "results"


class Files:
    """Durable files of one data directory.

    Parameters
    ----------
    data_dir
        Created if absent. Must be one local file system: a rename moves a finished file
        from ``parts/`` to its place.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        for folder in (PARTS, INSTANCES, RESULTS):
            (data_dir / folder).mkdir(parents=True, exist_ok=True)

    def write(self, relative: str, chunks: Iterable[bytes | memoryview]) -> Path:
        """Write a file durably: data synced, renamed into place, directory synced.

        A reader never sees half a file; a crash leaves at most an orphan in ``parts/``.
        An existing file is replaced in one step.

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
        part = self.data_dir / PARTS / f"{_own_prefix(relative)}{uuid.uuid4().hex}.part"
        try:
            with part.open("wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            self._make_folder(target.parent)
            part.rename(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
        return target

    def path(self, relative: str) -> Path:
        """Absolute path of a file the index names."""
        return self.data_dir / relative

    def sweep(self, top: str) -> int:
        """Remove what a crash on this host left in ``parts/``; return how many files that were.

        Nothing in them was ever acknowledged or recorded. Call it before writing starts.

        Parameters
        ----------
        top
            `INSTANCES` or `RESULTS`: only what was on its way there, since the process that
            writes the other may be at work.
        """
        orphans = list((self.data_dir / PARTS).glob(f"{_own_prefix(top)}*.part"))
        for orphan in orphans:
            orphan.unlink(missing_ok=True)
        return len(orphans)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        # The new directory entries must survive a power cut as well as the file in them.
        while folder != self.data_dir:
            folder = folder.parent
            _sync_folder(folder)


def instance_path(digest: str) -> str:
    """Where a received instance lives, relative to the data directory."""
    return f"{INSTANCES}/{digest[:2]}/{digest[2:4]}/{digest}.dcm"


def result_folder(study_instance_uid: str, revision: int, run: int) -> str:
    """Where the products of one run live, relative to the data directory."""
    study = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]
    return f"{RESULTS}/{study[:2]}/{study}/r{revision}/run-{run}"


def _own_prefix(relative: str) -> str:
    """First part of the names of unfinished files: which host writes, and where to."""
    return f"{socket.gethostname()}-{relative.partition('/')[0]}-"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
