"""How full the disk is, and whether that is too full to take more in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import structlog

from node.config.model import Storage
from node.metrics import STORAGE_FREE

log = structlog.get_logger(__name__)

FRESH_FOR_S = 0.2
"""At 1 GB/s less than 0.2 GB comes in between two looks."""
MIB = 1 << 20


class Space:
    """The watermark of one file system; safe to use from many threads.

    Parameters
    ----------
    data_dir
        Any folder of it.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, data_dir: Path, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._data_dir = data_dir
        self._storage = storage
        self._clock = clock
        self._lock = Lock()
        self._looked_at = float("-inf")
        self._refusal = ""

    def refusal(self) -> str:
        """Why nothing more is taken in, with numbers; "" while there is room.

        It is looked up at most every `FRESH_FOR_S` seconds.

        Raises
        ------
        OSError
            If the file system does not answer.
        """
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= FRESH_FOR_S:
                earlier, self._refusal = self._refusal, self._look()
                self._looked_at = now
                if self._refusal and not earlier:
                    log.error("storage.nearly_full", reason=self._refusal)
                elif earlier and not self._refusal:
                    log.info("storage.has_room")
            return self._refusal

    def _look(self) -> str:
        found = os.statvfs(self._data_dir)
        # What only root may use is not free.
        share = 100 * found.f_bavail / found.f_blocks if found.f_blocks else 100.0
        STORAGE_FREE.labels(resource="bytes").set(share / 100)
        least = self._storage.min_free_percent
        if share < least:
            return (
                f"{found.f_bavail * found.f_frsize // MIB} MiB ({share:.1f} %) of data_dir's file "
                f"system are free; storage.min_free_percent wants {least:g} %"
            )
        # Btrfs and others have as many inodes as they need, and say 0.
        if not found.f_files:
            return ""
        share = 100 * found.f_favail / found.f_files
        STORAGE_FREE.labels(resource="inodes").set(share / 100)
        least = self._storage.min_free_inodes_percent
        if share < least:
            return (
                f"{found.f_favail} inodes ({share:.1f} %) of data_dir's file system are free; "
                f"storage.min_free_inodes_percent wants {least:g} %"
            )
        return ""
