"""A role of the node that kills itself at a chosen durable step.

    python -m tests.crash.launch before:fsync 3 run --config wetread.yaml --role receive

runs ``wetread run …`` and ends it by SIGKILL just before its third ``os.fsync``. The points are
the calls in `CALLS`, ``commit`` (any database transaction) and ``any`` (all of them, counted
together). The node has no hook for this: the calls are replaced in this process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from node.cli.main import cli

CALLS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "fsync": (os, ("fsync",)),
    "fdatasync": (os, ("fdatasync",)),
    "link": (os, ("link",)),
    "rename": (os, ("rename",)),
    "replace": (os, ("replace",)),
    "unlink": (os, ("unlink",)),
    "writev": (os, ("writev",)),
    "pwrite": (os, ("pwrite", "pwritev")),
    "send": (socket.socket, ("send", "sendall", "sendmsg")),
    "commit": (DefaultDialect, ("do_commit",)),
}
POINTS = (*CALLS, "any")
MOMENTS = ("before", "after")


class Trap:
    """Counts the calls of one point, and springs at the n-th.

    Parameters
    ----------
    point
        ``before:NAME`` or ``after:NAME``; the names are `POINTS`.
    number
        From 1; 0 only counts.
    """

    def __init__(self, point: str, number: int) -> None:
        self.moment, _, self.name = point.partition(":")
        if self.moment not in MOMENTS or self.name not in POINTS:
            raise ValueError(f"{point!r} is no point; expected before: or after: one of {POINTS}")
        self.number = number
        self.count = 0
        self._lock = threading.Lock()

    def arm(self) -> None:
        """Replace the calls in this process."""
        for name, (owner, methods) in CALLS.items():
            if self.name in (name, "any"):
                for method in methods:
                    setattr(owner, method, self._around(getattr(owner, method)))

    def report(self) -> None:
        """Say on standard error how many calls there were."""
        sys.stderr.write(f"calls {self.count}\n")
        sys.stderr.flush()

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.count += 1
                here = self.count == self.number
            if here and self.moment == "before":
                die()
            result = call(*args, **kwargs)
            if here:
                die()
            return result

        return trapped


def die() -> None:
    """End this process as a power cut does: no handler, no buffer, no exit code runs."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def inject_clock(file: Path) -> None:
    """Let this process read the time from a file, as far as Python asks for it.

    The file holds an offset in seconds, or ``stop`` and a moment (seconds since 1970) at which
    the clock stands still. What the interpreter does in C (`datetime.now`) is reached only
    where the node passes a clock on: its ``utc_now``.
    """
    real = time.time

    def moved() -> float:
        word, _, value = file.read_text().partition(" ")
        return float(value) if word == "stop" else real() + float(word or 0)

    def utc_now() -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moved())

    time.time = moved
    for name, module in list(sys.modules.items()):
        if name.startswith("node.") and hasattr(module, "utc_now"):
            module.utc_now = utc_now  # type: ignore[attr-defined]


def main() -> None:
    """Arm the trap and be ``wetread``."""
    point, number, *arguments = sys.argv[1:]
    trap = Trap(point, int(number))
    trap.arm()
    try:
        cli(arguments, prog_name="wetread")
    finally:
        trap.report()


if __name__ == "__main__":
    main()
