"""Processes of the node that start in milliseconds: forked from one that has imported it all.

Five hundred kills need five hundred starts. The code that runs after the fork is the node's
own, from its command line on; only the imports are shared.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import node

ROOT = Path(node.__file__).parents[1]
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Order:
    """What to start.

    Parameters
    ----------
    arguments
        Of ``wetread``.
    log
        Takes standard output and error.
    trap
        A point and a number, as `tests.crash.launch` takes them.
    clock
        File of an injected clock.
    """

    arguments: tuple[str, ...]
    log: str
    trap: tuple[str, int] | None = None
    clock: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Process:
    """A process that is not our child; its descriptor cannot come to mean another one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        """Send a signal; one that has ended gets none."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, waiting for that."""
        return bool(select.select([self._descriptor], [], [], timeout_s)[0])

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.wait(0)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        assert self.wait(30), f"process {self.pid} survives SIGKILL"


class Nursery:
    """The process that forks the others; they end with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )

    def start(self, order: Order) -> Process:
        """Fork one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery has ended; its error is above"
        return Process(int(answer))

    def close(self) -> None:
        """End it, and with it all that it has forked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _grow_up(order: Order) -> None:
    """Be ``wetread`` in the forked process; does not return."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.update(order.environment)
    from node.cli.main import cli
    from tests.crash.launch import Trap, inject_clock

    if order.clock:
        inject_clock(Path(order.clock))
    if order.trap is None:
        cli(list(order.arguments), prog_name="wetread")
        return
    trap = Trap(*order.trap)
    trap.arm()
    try:
        cli(list(order.arguments), prog_name="wetread")
    finally:
        trap.report()


def main() -> None:
    """Fork one process for each order on standard input; print its number."""
    for module in pkgutil.walk_packages(node.__path__, "node."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("tests.crash.launch")
    while line := sys.stdin.readline():
        _bury()
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _grow_up(Order(**order))
            finally:
                os._exit(70)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _bury() -> None:
    """Collect the dead; until the next order their numbers are not given to others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
