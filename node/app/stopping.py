"""Waiting for the end of a process."""

from __future__ import annotations

from threading import Event
from typing import Final

LOOK_EVERY_S: Final = 0.5


def wait_for(stop: Event) -> None:
    """Return when `stop` is set; for the first thread of a process.

    Not one long wait: where the system gives SIGTERM to another thread, Python runs the
    handler only when the first one wakes up the next time.
    """
    while not stop.wait(LOOK_EVERY_S):
        pass
