"""The roles of a node as processes: started, started again when they end, stopped together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import structlog

from node.app import HL7, RECEIVE
from node.config.model import Config
from node.metrics import COUNTERS_VARIABLE

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.2
FIRST_RESTART_AFTER_S = 0.25
LONGEST_RESTART_AFTER_S = 30.0
STEADY_AFTER_S = 60.0
"""A role that has lived for this long has recovered: its next end is a first one again."""
STOP_WITHIN_S = 20.0


@dataclass(frozen=True)
class RoleProcess:
    """One process of a role.

    Parameters
    ----------
    slot
        Which of several processes of the role it is, from 0; None: there is only one.
    """

    role: str
    slot: int | None = None

    @property
    def name(self) -> str:
        """For the log: ``work``, ``receive-1``."""
        return self.role if self.slot is None else f"{self.role}-{self.slot}"


def processes_of(config: Config, roles: Iterable[str]) -> list[RoleProcess]:
    """List the processes that make some roles: one of each, of receive as many as configured.

    Nothing listens for HL7 where the configuration has no listener.
    """
    found = []
    listens = config.reports is not None and config.reports.hl7 is not None
    for role in dict.fromkeys(roles):
        if role == HL7 and not listens:
            continue
        several = role == RECEIVE and config.receive.processes > 1
        slots = range(config.receive.processes) if several else [None]
        found += [RoleProcess(role, slot) for slot in slots]
    return found


def supervise(
    config_file: Path, processes: Sequence[RoleProcess], data_dir: Path, stop: Event
) -> None:
    """Keep the processes of the roles running until `stop` is set.

    Parameters
    ----------
    data_dir
        Takes the files by which the roles share their counters; they start at 0.
    """
    counters = data_dir / "metrics"
    counters.mkdir(exist_ok=True)
    for old in counters.glob("*.db"):
        old.unlink()
    environment = {
        # OpenBLAS threads that spin against ONNX Runtime's make resampling several times slower.
        "OPENBLAS_NUM_THREADS": "1",
        COUNTERS_VARIABLE: str(counters),
        **os.environ,
    }
    running = [_Role(config_file, process, environment) for process in processes]
    while not stop.wait(LOOK_EVERY_S):
        for role in running:
            role.look(time.monotonic())
    for role in running:
        role.terminate()
    deadline = time.monotonic() + STOP_WITHIN_S
    for role in running:
        role.wait_or_kill(deadline)


class _Role:
    """One role and its process.

    The process ends by itself when the supervisor is gone: it reads its standard input, whose
    other end is here. Without that a killed supervisor would leave the port taken.
    """

    def __init__(
        self, config_file: Path, process: RoleProcess, environment: dict[str, str]
    ) -> None:
        arguments = ["run", "--config", str(config_file), "--role", process.role, "--supervised"]
        if process.slot is not None:
            arguments += ["--slot", str(process.slot)]
        self._command = [sys.executable, "-m", "node", *arguments]
        self._environment = environment
        self._role = process.name
        self._wait_s = FIRST_RESTART_AFTER_S
        self._restart_at: float | None = None
        self._start(time.monotonic())

    def _start(self, now: float) -> None:
        self._started_at = now
        self._restart_at = None
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            self._command, stdin=subprocess.PIPE, env=self._environment
        )

    def look(self, now: float) -> None:
        """Start the process again some time after it has ended, ever later if it keeps ending."""
        if self._restart_at is not None:
            if now >= self._restart_at:
                self._start(now)
        elif self._process.poll() is not None:
            if now - self._started_at > STEADY_AFTER_S:
                self._wait_s = FIRST_RESTART_AFTER_S
            log.error(
                "role.ended",
                role=self._role,
                exit_code=self._process.returncode,
                restart_in_s=self._wait_s,
            )
            self._restart_at = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_RESTART_AFTER_S)

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        """Wait for the end of the process, and force it at the deadline."""
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("role.killed", role=self._role)  # noqa: TRY400 - there is no more to say
            self._process.kill()
            self._process.wait()
