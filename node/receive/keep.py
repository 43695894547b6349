"""Where the door keeps what comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from node.config.model import Receive, Storage
from node.errors import RejectedInstance
from node.receive.receiving import Receiving, Shelf
from node.receive.recovery import Recovered, recover
from node.receive.status import Status
from node.receive.store_request import StoreRequest
from node.store.columns import MAX_UID_LENGTH
from node.store.commit import Committer
from node.store.files import PARTS, Files
from node.store.group_sync import GroupSync
from node.store.index import Index
from node.store.journal import Journal, open_journal, restore
from node.store.part import Part
from node.store.space import Space
from node.store.standing import Arrival, Verdict

log = structlog.get_logger(__name__)

LONGEST_WAIT_S = 2.0
"""So long the index may lag behind the disk while the door is busy."""


class Keeper:
    """Keeps instances; safe to use from many threads.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    slot
        Number of this receiver process among those of this host, from 0.
    """

    def __init__(
        self,
        files: Files,
        index: Index,
        clock: Callable[[], datetime],
        *,
        receive: Receive | None = None,
        storage: Storage | None = None,
        slot: int = 0,
    ) -> None:
        receive = self._receive = receive or Receive()
        self._files = files
        self._clock = clock
        self._slot = slot
        self._durable = receive.durability == "full"
        self._space = Space(files.data_dir, storage or Storage())
        self._names = GroupSync(files.data_dir / PARTS)
        self._index = index
        self._duplicate_uid = receive.duplicate_uid
        self._journal = self._open_journal()
        self._committer = Committer(
            self._record,
            sync=self._durable,
            patient=True,
            # A study must not count as complete before its last image is in the index.
            longest_wait_s=min(LONGEST_WAIT_S, receive.quiet_period_s / 8),
            is_pressed=self._is_pressed,
        )

    def recover(self, processes: int = 1) -> Recovered:
        """Sweep away, or take over, what earlier processes in this slot have left.

        Call it before listening. What is whole is read and recorded: nothing that was
        acknowledged is lost, and what was not is at worst kept although its sender sends again.

        Parameters
        ----------
        processes
            How many slots there are on this host; slot 0 also looks after those that are gone.
        """
        try:
            restore(
                self._files,
                self._slot,
                processes,
                keep=self._receive.journal_bytes > 0,
            )
        except OSError:  # it stays, and the next start has it
            log.exception("journal.not_restored")
        if self._journal is None:
            self._journal = self._open_journal()
        # Not the patient one: who starts while the database is away must not wait for it here.
        committer = Committer(self._record, sync=self._durable)
        try:
            return recover(self._files, committer, self._slot, processes)
        finally:
            committer.close()

    @property
    def is_idle(self) -> bool:
        """Whether the index has all that was acknowledged, or refuses it."""
        return self._committer.is_idle

    @property
    def is_ready(self) -> bool:
        """Whether nothing is left to be made ready before it is as fast as it gets."""
        return self._journal is None or self._journal.is_ready

    def open(self) -> Intake:
        """Begin with a sender."""
        return Intake(self._check, self._shelf())

    def close(self) -> None:
        """Commit what waits; nothing can be finished afterwards."""
        self._committer.close()
        if self._journal is not None:
            self._journal.close()

    def _check(self, request: StoreRequest) -> None:
        """Raise RejectedInstance for what would be refused whatever it holds."""
        _check_uid("Affected SOP Class UID", request.sop_class_uid)
        _check_uid("Affected SOP Instance UID", request.sop_instance_uid)
        if reason := self._space.refusal():
            raise RejectedInstance(Status.OUT_OF_RESOURCES, reason)
        if self._committer.stuck:
            raise RejectedInstance(
                Status.OUT_OF_RESOURCES, "the database does not take what was received before"
            )

    def _new_part(self) -> Part:
        return Part.new(self._files, self._slot, durable=self._durable)

    def _is_pressed(self) -> bool:
        return self._journal is not None and self._journal.is_pressed

    def _open_journal(self) -> Journal | None:
        return open_journal(
            self._files, self._slot, self._receive.journal_bytes, durable=self._durable
        )

    def _shelf(self) -> Shelf:
        return Shelf(
            self._journal,
            self._new_part,
            self._committer,
            self._names if self._durable else None,
            self._clock,
            self._receive.max_object_bytes,
        )

    def _record(self, batch: Sequence[Arrival]) -> list[Verdict]:
        return self._index.record_instances(batch, self._duplicate_uid)


class Intake:
    """The data sets of one sender; see `node.receive.store_request.Intake`.

    A file takes a while to make. From a sender's second data set on, where they go to files at
    once, that of the next one is made while the sender makes the next one ready.
    """

    def __init__(
        self,
        check: Callable[[StoreRequest], None],
        shelf: Shelf,
    ) -> None:
        self._check = check
        self._shelf = shelf
        self._begun = 0
        self._needs_files = False
        self._ready: Part | None = None

    def begin(self, request: StoreRequest) -> Receiving:
        """Prepare for a data set, before its first byte.

        Raises
        ------
        RejectedInstance
            If it would be refused whatever it holds: the disk is nearly full, or the index is
            behind (0xA700); a UID is empty or longer than the index can hold (0xA900).
        OSError
            If the disk is full or fails.
        """
        self._check(request)
        self._begun += 1
        self._needs_files = False
        return Receiving(request, self._shelf, self._take_part)

    def make_ready(self) -> None:
        """Make the file of the next data set; never raises."""
        if self._begun > 1 and self._needs_files and self._ready is None:
            with suppress(OSError):  # the next data set is told why
                self._ready = self._shelf.new_part()

    def close(self) -> None:
        """Give up what was made ready; never raises."""
        if self._ready is not None:
            self._ready.remove()
            self._ready = None

    def _take_part(self) -> Part:
        self._needs_files = True
        part, self._ready = self._ready or self._shelf.new_part(), None
        return part


def _check_uid(name: str, uid: str) -> None:
    if not 0 < len(uid) <= MAX_UID_LENGTH:
        raise RejectedInstance(
            Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
            f"{name} has {len(uid)} characters; expected 1 to {MAX_UID_LENGTH}",
        )
