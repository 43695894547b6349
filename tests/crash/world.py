"""A node whose roles can be killed one by one, senders before it and destinations behind it."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from node.domain import DeliveryState, StudyState
from tests.builders.network import free_port, wait_until
from tests.crash.destination import Archive, Proxy
from tests.crash.jobs import Job, Receipts
from tests.crash.nursery import Nursery, Order, Process
from tests.crash.objects import Sent, Study, study
from tests.node.running import RunningNode

ROLES = ("receive", "work")
ENDED = (StudyState.DONE, StudyState.FAILED, StudyState.NOT_ELIGIBLE, StudyState.LATE)
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 40.0
MOST_OPEN_STUDIES = 12


class World:
    """One node with an own data directory, and all that is around it.

    Parameters
    ----------
    seed
        Of everything that is left to chance here.
    breaks
        How many connections to the destinations are reset, from 0 to 1.
    quiet_period_s
        Short, so that a kill makes some studies complete too early.
    receivers
        Processes that receive; more than one only under a supervisor.
    most_open
        Senders pause while more studies are in work, so that a run ends soon after its last
        kill.
    changes
        Top-level keys of the node's configuration.
    """

    def __init__(
        self,
        folder: Path,
        nursery: Nursery,
        seed: str,
        *,
        breaks: float = 0.0,
        quiet_period_s: float = 1.0,
        receivers: int = 1,
        most_open: int = MOST_OPEN_STUDIES,
        **changes: Any,
    ) -> None:
        self.seed = seed
        self._most_open = most_open
        self.nursery = nursery
        self.receipts = Receipts()
        self.violations: list[str] = []
        self.kills = 0
        self._numbers = iter(range(1_000_000_000))
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self.archives = {name: Archive(name.upper()) for name in ("pacs", "archive")}
        self.proxies = {
            name: Proxy(archive.port, f"{seed} {name}", breaks=breaks)
            for name, archive in self.archives.items()
        }
        self.port = free_port()
        self.node = RunningNode(
            folder,
            self.proxies["pacs"].port,
            port=self.port,
            **{**self._configuration(quiet_period_s, receivers), **changes},
        )
        self.roles: dict[str, Process] = {}
        self.jobs: list[Job] = []

    def _configuration(self, quiet_period_s: float, receivers: int) -> dict[str, Any]:
        destinations = {
            name: {
                "ae_title": name.upper(),
                "host": "127.0.0.1",
                "port": proxy.port,
                "timeout_s": 10,
                "retry": {"first_s": 0.2, "longest_s": 1},
            }
            for name, proxy in self.proxies.items()
        }
        rules = [
            ("CT", {"Modality": "CT", "slices": {"min": 3}}, "tiny-segment"),
            ("radiograph", {"Modality": ["CR", "DX"]}, "tiny-classify"),
        ]
        return {
            "receive": {
                "ae_title": "WETREAD",
                "host": "127.0.0.1",
                "port": self.port,
                "quiet_period_s": quiet_period_s,
                "processes": receivers,
                "accept_from": [{"ae_title": "CT1", "host": "127.0.0.1"}],
            },
            "destinations": destinations,
            "rules": [
                {"name": name, "when": when, "run": [model], "send_to": list(destinations)}
                for name, when, model in rules
            ],
            "web": {"port": free_port()},
            "log": {"level": "info", "format": "json"},
        }

    def start(self, role: str, *, trap: tuple[str, int] | None = None) -> Process:
        """Start a role; a trap kills it at a durable step."""
        arguments = ("run", "--config", str(self.node.config_file), "--role", role)
        clock = self.node.folder / "clock"
        order = Order(
            arguments,
            str(self.node.log_file),
            trap,
            str(clock) if clock.exists() else None,
        )
        self.roles[role] = self.nursery.start(order)
        return self.roles[role]

    def start_all(self) -> None:
        """Start all roles and wait until they are ready."""
        for role in ROLES:
            if role not in self.roles or self.roles[role].ended:
                self.start(role)
        self.wait_for_door()

    def wait_for_door(self) -> None:
        """Wait until the node takes connections."""
        wait_until(self.listens, within_s=READY_WITHIN_S, what=f"door ({self.node.log_file})")

    def listens(self) -> bool:
        """Whether somebody listens at the door."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def tend(self) -> None:
        """Start again what has ended by itself, as the supervisor does."""
        for role, process in list(self.roles.items()):
            if process.ended:
                self.start(role)

    def kill(self, role: str) -> None:
        """SIGKILL a role, which must still run."""
        if self.roles[role].ended:
            self.violations.append(f"{role} has ended by itself")
        self.roles[role].kill()
        self.kills += 1

    def send_one(self, kind: str) -> tuple[Study, Job]:
        """Let one sender send one study; return both."""
        one = study(kind, self.seed, next(self._numbers))
        studies = iter([one])
        sender = Job(
            self.port, lambda: next(studies, None), self.receipts, f"{self.seed} {one.uid}"
        )
        self.jobs.append(sender)
        sender.start()
        return one, sender

    def settled(self, study: Study) -> bool:
        """Whether a study is at an end."""
        row = self.node.stores.index.study(study.uid)
        return row is not None and row.state in ENDED

    def indexed(self, study: Study) -> bool:
        """Whether the index has all of it that was acknowledged."""
        rows = self.node.stores.index.study_instances(study.uid)
        there = {row.sop_instance_uid for row in rows}
        sent = {each.sop_instance_uid for each in study.objects}
        return sent & self.receipts.acknowledged.keys() <= there

    def stop_all(self) -> None:
        """Stop the roles as an administrator does, with SIGTERM."""
        for process in self.roles.values():
            process.signal(signal.SIGTERM)
        for role, process in self.roles.items():
            if not process.wait(STOP_WITHIN_S):
                self.violations.append(f"{role} does not end on SIGTERM")
                process.kill()
        self.roles.clear()

    def send(self, kinds: Iterator[str], senders: int = 4, **job: Any) -> None:
        """Let senders send studies of these kinds until `enough`."""

        def next_study() -> Study | None:
            with self._lock:
                while self._open_studies() > self._most_open:
                    if self._enough.wait(0.1):
                        break
                kind = None if self._enough.is_set() else next(kinds, None)
                return None if kind is None else study(kind, self.seed, next(self._numbers))

        for number in range(senders):
            sender = Job(self.port, next_study, self.receipts, f"{self.seed} {number}", **job)
            self.jobs.append(sender)
            sender.start()

    def _open_studies(self) -> int:
        try:
            counts = self.node.stores.index.counts_by_state()
        except SQLAlchemyError:
            return self._most_open + 1
        # What was acknowledged a moment ago may not be in the index yet.
        coming = max(0, len(self.receipts.finished) - sum(counts.values()))
        return coming + sum(count for state, count in counts.items() if state not in ENDED)

    def enough(self, within_s: float = 300.0) -> None:
        """Let the senders finish the studies they are at."""
        self._enough.set()
        for job in self.jobs:
            job.join(within_s)
            if job.is_alive():
                self.violations.append(f"{job.name} is not through after {within_s:g} s")
                job.stop()

    def open_studies(self) -> list[str]:
        """Acknowledged studies that are not at an end, and what waits for a destination."""
        index = self.node.stores.index
        rows = {row.study_instance_uid: row for row in index.list_studies(limit=1_000_000)}
        waiting = [
            uid
            for uid in sorted({sent.study_instance_uid for sent in self.acknowledged()})
            if uid not in rows or rows[uid].state not in ENDED
        ]
        counts = self.node.stores.ledger.delivery_counts()
        return waiting + [
            f"{count} deliveries to {name}"
            for (name, state), count in counts.items()
            if state == DeliveryState.WAITING
        ]

    def acknowledged(self) -> list[Sent]:
        """What the node has answered with Success."""
        return list(self.receipts.acknowledged.values())

    def close(self) -> None:
        """End everything, by its number."""
        self._enough.set()
        for job in self.jobs:
            job.stop()
        for process in self.roles.values():
            process.kill()
        for job in self.jobs:
            job.join(60)
        self.node.stop()
        for proxy in self.proxies.values():
            proxy.stop()
        for archive in self.archives.values():
            archive.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()
