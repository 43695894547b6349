"""Group commit: what arrives on many associations becomes durable together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event, Lock, Thread
from typing import Any, TypeAlias, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from node.domain import Instance
from node.store.files import sync_folder
from node.store.part import Part
from node.store.standing import Arrival, Verdict

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 64
"""Instances of one transaction: a longer one would keep the other processes waiting."""
MOST_WAITING = 4096
TRY_AGAIN_AFTER_S = 1.0
QUIET_S = 0.03
"""The door is quiet when nothing has arrived for so long."""


@dataclass(frozen=True)
class Shelving:
    """A file that has its place, and is to be recorded.

    Parameters
    ----------
    folder
        Where its file got its name; None if it has no file.
    part
        Its file, where that is not synced yet.
    durable
        Called when file and names are synced, or where nothing is.
    """

    arrival: Arrival
    folder: str | None
    part: Part | None = None
    durable: Callable[[], None] | None = None


@dataclass(frozen=True)
class Shelved:
    """An instance that the index has judged."""

    instance: Instance
    verdict: Verdict


T = TypeVar("T")


def as_it_is(shelved: Shelved) -> Any:
    """Settle nothing: who waits looks at it himself."""
    return shelved


@dataclass(frozen=True, slots=True)
class _Waiting:
    shelve: Callable[[], Shelving]
    settle: Callable[[Shelved], Any]
    shelved: Future[Any] = field(default_factory=Future)

    def tell(self, shelved: Shelved) -> None:
        """Say what the index has judged to who has handed it over."""
        try:
            self.shelved.set_result(self.settle(shelved))
        except Exception as error:  # noqa: BLE001 - it is for who waits
            self.shelved.set_exception(error)


_Batch: TypeAlias = Sequence[tuple[_Waiting, Shelving]]


class Committer:
    """Gives files their place and records them, many at once, in a thread of its own.

    The door comes first: while data sets arrive it waits, but never longer than it is told.

    Parameters
    ----------
    record
        Records instances in the index in one transaction.
    sync
        Sync the folders before recording.
    longest_wait_s
        How long a file may wait for a quiet moment.
    is_pressed
        Says that it must not wait now.
    patient
        True: while the database does not answer it tries again, and `stuck` says so. False:
        those who wait are told that it failed. An instance that itself cannot be recorded
        fails either way, and no other with it.
    """

    def __init__(
        self,
        record: Callable[[Sequence[Arrival]], Sequence[Verdict]],
        *,
        sync: bool = True,
        patient: bool = False,
        longest_wait_s: float = 0.0,
        is_pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_pressed = is_pressed
        self._patient = patient
        self._record = record
        self._sync = sync
        self._longest_wait_s = longest_wait_s
        self._queue: Queue[_Waiting | None] = Queue(MOST_WAITING)
        self._submitted = 0
        self._judged = 0
        self._due = 0
        self._closing = Event()
        self._stuck = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    @property
    def stuck(self) -> bool:
        """Whether the database does not take what it is given."""
        return self._stuck.is_set()

    @property
    def is_idle(self) -> bool:
        """Whether all that was handed over has been judged."""
        return self._judged == self._submitted

    def submit(
        self, shelve: Callable[[], Shelving], settle: Callable[[Shelved], T] = as_it_is
    ) -> Future[T]:
        """Hand a file over; waits while too many others do.

        Parameters
        ----------
        shelve
            Gives the file its place; called in the committer's thread.
        settle
            Called there when the index has judged it.

        Returns
        -------
        Future
            Of what `settle` returns. Raises OSError, SQLAlchemyError or ValueError where the file
            has no place or is not recorded.
        """
        waiting = _Waiting(shelve, settle)
        # Put under the lock: behind the end of the queue nobody would answer.
        with self._lock:
            if self._closing.is_set():
                raise OSError("the receiver is stopping")
            if self._thread is None:
                self._thread = Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._queue.put(waiting)
            self._submitted += 1
        return waiting.shelved

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
            if self._due <= 0:
                self._let_the_door_work()
                self._due = self._queue.qsize() + 1
            while len(batch) < MOST_AT_ONCE:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            self._due -= len(batch)
            ended = None in batch
            if waiting := [one for one in batch if one is not None]:
                self._commit(waiting)
                # Not under the lock: who hands over holds it while the queue is full.
                self._judged += len(waiting)

    def _let_the_door_work(self) -> None:
        """Wait until nothing has arrived for a moment, or until it must not wait any longer."""
        until = time.monotonic() + self._longest_wait_s
        while time.monotonic() < until and self._queue.qsize() < MOST_WAITING // 2:
            if self._is_pressed():
                return
            before = self._submitted
            if self._closing.wait(min(QUIET_S, self._longest_wait_s)):
                return
            if self._submitted == before:
                return

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            self._record_all(self._synced(self._placed(batch)))
        except BaseException as error:  # nobody may wait for ever, whatever it was
            for waiting in batch:
                if not waiting.shelved.done():
                    waiting.shelved.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def _placed(self, batch: Sequence[_Waiting]) -> _Batch:
        """Give each file its place; return those that have one."""
        placed = []
        for waiting in batch:
            try:
                placed.append((waiting, self._shelve(waiting)))
            except Exception as error:  # noqa: BLE001 - the others must get theirs
                waiting.shelved.set_exception(error)
        return placed

    def _shelve(self, waiting: _Waiting) -> Shelving:
        """Give one file its place; a disk that is full now may have room later."""
        while True:
            try:
                shelving = waiting.shelve()
            except FileNotFoundError:
                raise  # what is gone does not come back
            except OSError as error:
                if not self._patient or self._closing.is_set():
                    raise
                self._wait(error)
            else:
                self._go_on()
                return shelving

    def _synced(self, batch: _Batch) -> _Batch:
        """Sync files and folders, each once; return those that are synced."""
        folders: dict[str, OSError | None] = {}
        synced = []
        for waiting, one in batch:
            try:
                if self._sync and one.part is not None:
                    one.part.sync()
            except OSError as error:
                waiting.shelved.set_exception(error)
            else:
                synced.append((waiting, one))
                folders.update(dict.fromkeys(self._folders(one)))
        for folder in folders:
            try:
                sync_folder(folder)
            except OSError as failure:
                folders[folder] = failure
        durable = []
        for waiting, one in synced:
            failures = [folders[folder] for folder in self._folders(one)]
            if failed := next(filter(None, failures), None):
                waiting.shelved.set_exception(failed)
                continue
            if one.durable is not None:
                one.durable()
            durable.append((waiting, one))
        return durable

    def _folders(self, one: Shelving) -> list[str]:
        """The folders with names of a file that must be synced."""
        if not self._sync:
            return []
        # In parts/ its name must last as well: it may get no other.
        held = () if one.part is None else (one.part.folder,)
        return [*held, *(() if one.folder is None else (one.folder,))]

    def _record_all(self, batch: _Batch) -> None:
        """Record a batch; if that fails, each by itself, so that none fails for another's sake."""
        if not batch:
            return
        try:
            verdicts = self._record([one.arrival for _, one in batch])
        except Exception:  # noqa: BLE001 - the driver raises its own, and ValueError
            # A connection that broke may have committed: then they are duplicates now.
            away: Exception | None = None
            for waiting, one in batch:
                away = self._record_one(waiting, one.arrival, away)
            return
        for (waiting, one), verdict in zip(batch, verdicts, strict=True):
            waiting.tell(Shelved(one.arrival.instance, verdict))

    def _record_one(
        self, waiting: _Waiting, arrival: Arrival, away: Exception | None
    ) -> Exception | None:
        """Record one instance; return why the database does not answer, or None.

        Parameters
        ----------
        away
            Why it did not answer just now: not asked again then.
        """
        while away is None:
            try:
                verdict = self._record([arrival])[0]
            except Exception as error:  # noqa: BLE001 - see above
                if not is_of_the_database(error):
                    waiting.shelved.set_exception(error)
                    return None
                if not self._patient or self._closing.is_set():
                    away = error
                    break
                self._wait(error)
            else:
                self._go_on()
                waiting.tell(Shelved(arrival.instance, verdict))
                return None
        waiting.shelved.set_exception(away)
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
    broke = isinstance(error, DBAPIError) and error.connection_invalidated
    return broke or isinstance(error, OperationalError | InterfaceError)
