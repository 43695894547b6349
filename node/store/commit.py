"""Group commit: what arrives on many associations becomes durable together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Lock, Thread

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from node.store.files import sync_folder
from node.store.standing import Arrival, Verdict

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 64
"""Instances of one transaction: a longer one would keep the other processes waiting."""
MOST_WAITING = 256
TRY_AGAIN_AFTER_S = 1.0
GATHER_S = 0.05
"""How long a patient committer collects: nobody waits for it, and one commit is a sync."""


@dataclass(frozen=True)
class _Waiting:
    arrival: Arrival
    folder: Path | None
    verdict: Future[Verdict] = field(default_factory=Future)


class Committer:
    """Syncs folders and records instances for all threads of a process, in a thread of its own.

    It takes whatever waits when it is free: alone, an instance waits for nobody; under load
    many share a sync and a transaction.

    Parameters
    ----------
    record
        Records instances in the index in one transaction.
    patient
        True: while the database does not answer it tries again, and `stuck` says so. False:
        those who wait are told that it failed. An instance that itself cannot be recorded
        fails either way, and no other with it.
    sync
        Sync the folders before recording.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Arrival]], Sequence[Verdict]],
        *,
        patient: bool = False,
        sync: bool = True,
    ) -> None:
        self._record = record
        self._patient = patient
        self._sync = sync
        self._queue: Queue[_Waiting | None] = Queue(MOST_WAITING)
        self._closing = Event()
        self._stuck = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    @property
    def stuck(self) -> bool:
        """Whether the database does not take what it is given."""
        return self._stuck.is_set()

    def submit(self, arrival: Arrival, folder: Path | None) -> Future[Verdict]:
        """Hand an instance over; waits while too many others do.

        Parameters
        ----------
        folder
            Where its file got its name; None if it has no file.

        Returns
        -------
        Future of Verdict
            Raises OSError, SQLAlchemyError or ValueError where the instance is not durable or
            not recorded; see `is_unsure`.
        """
        waiting = _Waiting(arrival, folder)
        # Put under the lock: behind the end of the queue nobody would answer.
        with self._lock:
            if self._closing.is_set():
                raise OSError("the receiver is stopping")
            if self._thread is None:
                self._thread = Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._queue.put(waiting)
        return waiting.verdict

    def close(self) -> None:
        """Commit what waits, and end; what the database does not take now, fails."""
        with self._lock:
            self._closing.set()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            if self._patient and self._queue.qsize() < MOST_AT_ONCE:
                self._closing.wait(GATHER_S)
            while len(batch) < MOST_AT_ONCE:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            ended = None in batch
            if waiting := [one for one in batch if one is not None]:
                self._commit(waiting)

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            self._record_all(self._synced(batch))
        except BaseException as error:  # nobody may wait for ever, whatever it was
            for waiting in batch:
                if not waiting.verdict.done():
                    waiting.verdict.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def _synced(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Sync the folders, each once; return those whose folder is synced."""
        failed: dict[Path, OSError] = {}
        if self._sync:
            for folder in {waiting.folder for waiting in batch if waiting.folder is not None}:
                try:
                    sync_folder(folder)
                except OSError as error:
                    failed[folder] = error
        for waiting in batch:
            if waiting.folder in failed:
                waiting.verdict.set_exception(failed[waiting.folder])
        return [waiting for waiting in batch if waiting.folder not in failed]

    def _record_all(self, batch: Sequence[_Waiting]) -> None:
        """Record a batch; if that fails, each by itself, so that none fails for another's sake."""
        if not batch:
            return
        try:
            verdicts = self._record([waiting.arrival for waiting in batch])
        except Exception as error:  # noqa: BLE001 - the driver raises its own, and ValueError
            # Whether a connection that broke has committed, nobody knows.
            unsure = error if is_unsure(error) else None
            away: Exception | None = None
            for waiting in batch:
                away = self._record_one(waiting, away, unsure)
            return
        for waiting, verdict in zip(batch, verdicts, strict=True):
            waiting.verdict.set_result(verdict)

    def _record_one(
        self, waiting: _Waiting, away: Exception | None, unsure: Exception | None
    ) -> Exception | None:
        """Record one instance; return why the database does not answer, or None.

        Parameters
        ----------
        away
            Why it did not answer just now: not asked again then.
        unsure
            What the instance is told then instead.
        """
        while away is None:
            try:
                verdict = self._record([waiting.arrival])[0]
            except Exception as error:  # noqa: BLE001 - see above
                if not is_of_the_database(error):
                    waiting.verdict.set_exception(error)
                    return None
                if is_unsure(error):
                    unsure = error
                if not self._patient or self._closing.is_set():
                    away = error
                    break
                self._wait(error)
            else:
                self._go_on()
                waiting.verdict.set_result(verdict)
                return None
        waiting.verdict.set_exception(unsure or away)
        return away

    def _wait(self, error: Exception) -> None:
        if not self._stuck.is_set():
            log.error("index.stuck", error=type(error).__name__)
            self._stuck.set()
        self._closing.wait(TRY_AGAIN_AFTER_S)

    def _go_on(self) -> None:
        if self._stuck.is_set():
            log.info("index.goes_on")
            self._stuck.clear()


def is_of_the_database(error: BaseException) -> bool:
    """Whether another row would have failed, too: the database is away, locked or full."""
    return is_unsure(error) or isinstance(error, OperationalError | InterfaceError)


def is_unsure(error: BaseException) -> bool:
    """Whether the connection broke, so that what was under way may be recorded or not."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
