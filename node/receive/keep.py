"""Where the door keeps what comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from node.config.model import Receive, Storage
from node.errors import RejectedInstance
from node.receive.receiving import Receiving
from node.receive.recovery import Recovered, recover
from node.receive.status import Status
from node.receive.store_request import StoreRequest
from node.store.columns import MAX_UID_LENGTH
from node.store.commit import Committer
from node.store.files import PARTS, Files
from node.store.group_sync import GroupSync
from node.store.index import Index
from node.store.part import Part
from node.store.space import Space
from node.store.standing import Arrival, Verdict

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
        receive = receive or Receive()
        self._files = files
        self._clock = clock
        self._slot = slot
        self._durable = receive.durability == "full"
        self._max_object_bytes = receive.max_object_bytes
        self._space = Space(files.data_dir, storage or Storage())
        self._names = GroupSync(files.data_dir / PARTS)
        self._index = index
        self._duplicate_uid = receive.duplicate_uid
        self._committer = Committer(
            self._record,
            sync=self._durable,
            patient=True,
            # A study must not count as complete before its last image is in the index.
            longest_wait_s=min(LONGEST_WAIT_S, receive.quiet_period_s / 8),
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
        # Not the patient one: who starts while the database is away must not wait for it here.
        committer = Committer(self._record, sync=self._durable)
        try:
            return recover(self._files, committer, self._slot, processes)
        finally:
            committer.close()

    def open(self) -> Intake:
        """Begin with a sender."""
        return Intake(self._check, self._new_part, self._receiving)

    def close(self) -> None:
        """Commit what waits; nothing can be finished afterwards."""
        self._committer.close()

    def _check(self, request: StoreRequest) -> None:
        """Raise RejectedInstance for what would be refused whatever it holds."""
        for name, uid in (
            ("Affected SOP Class UID", request.sop_class_uid),
            ("Affected SOP Instance UID", request.sop_instance_uid),
        ):
            if not 0 < len(uid) <= MAX_UID_LENGTH:
                raise RejectedInstance(
                    Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
                    f"{name} has {len(uid)} characters; expected 1 to {MAX_UID_LENGTH}",
                )
        if reason := self._space.refusal():
            raise RejectedInstance(Status.OUT_OF_RESOURCES, reason)
        if self._committer.stuck:
            raise RejectedInstance(
                Status.OUT_OF_RESOURCES, "the database does not take what was received before"
            )

    def _new_part(self) -> Part:
        return Part.new(self._files, self._slot, durable=self._durable)

    def _receiving(self, request: StoreRequest, part: Part) -> Receiving:
        return Receiving(
            request,
            part,
            self._committer,
            self._clock,
            self._names if self._durable else None,
            self._max_object_bytes,
        )

    def _record(self, batch: Sequence[Arrival]) -> list[Verdict]:
        return self._index.record_instances(batch, self._duplicate_uid)


class Intake:
    """The data sets of one sender; see `node.receive.store_request.Intake`.

    A file takes a while to make. From a sender's second data set on, that of the next one is
    made while the sender makes the next one ready.
    """

    def __init__(
        self,
        check: Callable[[StoreRequest], None],
        new_part: Callable[[], Part],
        receiving: Callable[[StoreRequest, Part], Receiving],
    ) -> None:
        self._check = check
        self._new_part = new_part
        self._receiving = receiving
        self._begun = 0
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
        part, self._ready = self._ready or self._new_part(), None
        self._begun += 1
        return self._receiving(request, part)

    def make_ready(self) -> None:
        """Make the file of the next data set; never raises."""
        if self._begun > 1 and self._ready is None:
            with suppress(OSError):  # the next data set is told why
                self._ready = self._new_part()

    def close(self) -> None:
        """Give up what was made ready; never raises."""
        if self._ready is not None:
            self._ready.remove()
            self._ready = None
