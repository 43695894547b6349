"""At most one process of a role on a host.

Two work processes would take up the same unfinished studies; a receiver that starts would
sweep away what another is writing.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import structlog

log = structlog.get_logger(__name__)

TRY_AGAIN_AFTER_S = 0.2


class Stopped(Exception):  # noqa: N818 - not an error: the process was asked to end
    """The process is to end before it has begun."""


@contextmanager
def only_one(data_dir: Path, role: str, stop: Event) -> Iterator[None]:
    """Hold the role's lock, waiting for another process that may just be ending.

    The operating system lets go of the lock when its holder ends, however it ends.

    Raises
    ------
    Stopped
        If `stop` is set before the lock is free.
    """
    with (data_dir / f"{role}-{socket.gethostname()}.lock").open("a") as stream:
        waiting = False
        while True:
            if stop.is_set():
                raise Stopped
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    log.warning("role.waiting", reason=f"another {role} process runs here")
                waiting = True
                stop.wait(TRY_AGAIN_AFTER_S)
        yield
