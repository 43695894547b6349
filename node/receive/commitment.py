"""Storage commitment at the door: reports of archives, and requests of peers (PS3.4 Annex J).

An archive reports on an association that it opens to the node, as the provider of the
service: role selection is answered, and every report gets its answer, also a failure.
A peer that asks the node to commit is told from the index: what is durable and indexed is
committed to. A peer that is also a destination is told on an association of its own, by the
work process; any other one on the association of its request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Semaphore
from typing import Final

import structlog
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy.exc import SQLAlchemyError

from node.dimse import N_ACTION_RQ, N_EVENT_REPORT_RQ
from node.dimse.command_set import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    element,
    encode,
    us,
)
from node.dimse.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_STORAGE_COMMITMENT,
    SOME_FAILED,
)
from node.dimse.references import encode_report, read_report, read_request
from node.receive.commands import Command
from node.receive.message import TAKEN_AT_ONCE
from node.receive.status import Status
from node.store.chunk import NOTHING, Chunk
from node.store.commitment import Commitments
from node.store.proof import ProofRows

log = structlog.get_logger(__name__)

MAX_INFORMATION_BYTES: Final = 4 * 2**20
"""Of a request or report."""
MAX_BYTES_TOGETHER: Final = 8 * 2**20
"""Of all that are under way at the same time."""
_TOLD_AT_ONCE: Final = 2
_LONGEST_TELLING_S: Final = 20.0
_WAITS_S: Final = (0.25, 0.25, 0.5, 1.0, 1.0, 2.0)
"""What was acknowledged is in the index after these five seconds."""
_HAS_DATA_SET: Final = 0x0001


@dataclass(frozen=True)
class FollowUp:
    """A request that the node makes on the same association after its response.

    Parameters
    ----------
    command_set, data_set
        Encoded; the data set in the transfer syntax of the presentation context.
    """

    command_set: bytes
    data_set: bytes


class CommitmentService:
    """Keeps what archives report, and what peers ask for. Safe to use from many threads.

    What is read and written is so in one thread, for one peer after the other: a request may
    name twenty thousand instances, and the memory of a receiver is bounded. The allocator keeps
    for each thread what it has once had.

    Parameters
    ----------
    called_back
        AE titles of the peers that are told on an association of their own.
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        proofs: ProofRows,
        commitments: Commitments,
        called_back: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._proofs = proofs
        self._commitments = commitments
        self._called_back = frozenset(called_back)
        self._clock = clock
        self._one = ThreadPoolExecutor(1, "commitment")
        self._lock = Lock()
        self._bytes = 0
        self._telling = Semaphore(_TOLD_AT_ONCE)

    def take_in(self, count: int) -> bool:
        """Make room for bytes of a request or report; False: there are too many already."""
        with self._lock:
            fits = self._bytes + count <= MAX_BYTES_TOGETHER
            self._bytes += count * fits
        return fits

    def let_go(self, count: int) -> None:
        """Give back the room of bytes that are not held any more."""
        with self._lock:
            self._bytes -= count

    def report(self, content: bytearray, explicit: bool, calling_ae_title: str) -> tuple[int, str]:
        """Record the report of an archive; status and comment of the answer.

        Raises
        ------
        ValueError
            If it is no such report.
        """
        if not self._one.submit(self._report, content, explicit, calling_ae_title).result():
            return Status.INVALID_ARGUMENT_VALUE, "no such transaction was asked for"
        return Status.SUCCESS, ""

    def request(self, content: bytearray, explicit: bool, calling_ae_title: str) -> str:
        """Keep a peer's request until it is told; the Transaction UID to tell it of at once, or "".

        Raises
        ------
        ValueError
            If it is no such request.
        """
        work = self._one.submit(self._request, content, explicit, calling_ae_title)
        transaction_uid = work.result()
        return "" if calling_ae_title in self._called_back else transaction_uid

    @contextmanager
    def judged(
        self, transaction_uid: str, calling_ae_title: str, explicit: bool
    ) -> Iterator[tuple[int, bytes]]:
        """Event type and data set that say what the node commits to of a request.

        What was only just acknowledged may take a moment, which is waited for. Few peers at a
        time are given theirs, since one may take megabytes.
        """
        pause = Event()
        for wait_s in _WAITS_S:
            if self._one.submit(self._is_kept, transaction_uid, calling_ae_title).result():
                break
            pause.wait(wait_s)
        # A peer that takes its report slowly must not keep the others from theirs for long.
        is_mine = self._telling.acquire(timeout=_LONGEST_TELLING_S)
        try:
            yield self._one.submit(
                self._judged, transaction_uid, calling_ae_title, explicit
            ).result()
        finally:
            if is_mine:
                self._telling.release()

    def told(self, transaction_uid: str, calling_ae_title: str) -> None:
        """Record that a peer has taken the report of a transaction."""
        self._commitments.note_reported(transaction_uid, calling_ae_title, self._clock())

    def _report(self, content: bytearray, explicit: bool, calling_ae_title: str) -> bool:
        report = read_report(content, explicit=explicit)
        known = self._proofs.report(
            report.transaction_uid, report.committed, report.failed, self._clock()
        )
        log.info(
            "commitment.received",
            calling_ae_title=calling_ae_title,
            transaction_uid=report.transaction_uid,
            known=known,
            committed=len(report.committed),
            failed=len(report.failed),
        )
        return known

    def _request(self, content: bytearray, explicit: bool, calling_ae_title: str) -> str:
        transaction_uid, wanted = read_request(content, explicit=explicit)
        self._commitments.record(transaction_uid, calling_ae_title, wanted, self._clock())
        log.info(
            "commitment.wanted",
            calling_ae_title=calling_ae_title,
            transaction_uid=transaction_uid,
            objects=len(wanted),
        )
        return transaction_uid

    def _is_kept(self, transaction_uid: str, calling_ae_title: str) -> bool:
        return not self._commitments.judge(
            self._commitments.wanted(transaction_uid, calling_ae_title)
        ).failed

    def _judged(
        self, transaction_uid: str, calling_ae_title: str, explicit: bool
    ) -> tuple[int, bytes]:
        wanted = self._commitments.wanted(transaction_uid, calling_ae_title)
        found = self._commitments.judge(wanted)
        return SOME_FAILED if found.failed else ALL_COMMITTED, encode_report(
            transaction_uid, found.committed, found.failed, explicit=explicit
        )


class CommitmentOperation:
    """One N-ACTION or N-EVENT-REPORT from its command set to its answer. Never raises.

    Parameters
    ----------
    transfer_syntax_uid
        Of the presentation context: Explicit or Implicit VR Little Endian.
    """

    def __init__(
        self,
        service: CommitmentService,
        command: Command,
        transfer_syntax_uid: str,
        calling_ae_title: str,
    ) -> None:
        self._service = service
        self._command = command
        self._explicit = transfer_syntax_uid == ExplicitVRLittleEndian
        self._calling_ae_title = calling_ae_title
        self._content = bytearray()
        self._too_large = ""
        self.transaction_uid = ""

    @property
    def takes_bytes(self) -> int:
        """So many bytes it would like to be given at once, at least."""
        return TAKEN_AT_ONCE

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take fragments of the encoded data set."""
        for fragment in fragments:
            if self._too_large:
                return
            if len(self._content) + len(fragment) > MAX_INFORMATION_BYTES:
                self._too_large = f"more than {MAX_INFORMATION_BYTES} bytes"
            elif not self._service.take_in(len(fragment)):
                self._too_large = "too much at the same time; send it again later"
            else:
                self._content += fragment
                continue
            self.discard()

    def finish(self, rest: Chunk = NOTHING) -> tuple[int, str]:
        """Record it, and return status and Error Comment of the answer."""
        self.write(rest.pieces())
        if self._too_large:
            return Status.RESOURCE_LIMITATION, self._too_large
        try:
            return self._record()
        except SQLAlchemyError as error:
            log.warning("commitment.not_recorded", error=type(error).__name__)
            return Status.PROCESSING_FAILURE, "the database does not take it; send it again later"
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            log.warning("commitment.unreadable", reason=f"{type(error).__name__}: {error}")
            return Status.INVALID_ARGUMENT_VALUE, "it cannot be read"
        finally:
            self.discard()

    def answered(self) -> None:
        """Nothing is left to do; the report follows by itself."""

    def _record(self) -> tuple[int, str]:
        command, service = self._command, self._service
        if command.sop_instance_uid != PUSH_MODEL_INSTANCE:
            return Status.NO_SUCH_SOP_INSTANCE, "not the instance of the push model"
        if command.field == N_EVENT_REPORT_RQ:
            if command.type_id not in (ALL_COMMITTED, SOME_FAILED):
                return Status.NO_SUCH_EVENT_TYPE, "not an event of the push model"
            return service.report(self._content, self._explicit, self._calling_ae_title)
        if command.type_id != REQUEST_STORAGE_COMMITMENT:
            return Status.NO_SUCH_ACTION_TYPE, "not an action of the push model"
        self.transaction_uid = service.request(
            self._content, self._explicit, self._calling_ae_title
        )
        return Status.SUCCESS, ""

    @contextmanager
    def follow_up(self, message_id: int) -> Iterator[FollowUp | None]:
        """Make the report that is sent on the same association, where there is one."""
        if not self.transaction_uid:
            yield None
            return
        with ExitStack() as stack:
            try:
                event_type, information = stack.enter_context(
                    self._service.judged(
                        self.transaction_uid, self._calling_ae_title, self._explicit
                    )
                )
            except SQLAlchemyError as error:
                log.warning("commitment.not_told", reason=type(error).__name__, given_up=True)
                yield None
                return
            yield self._told_by(message_id, event_type, information)

    def _told_by(self, message_id: int, event_type: int, information: bytes) -> FollowUp:
        return FollowUp(
            encode(
                element(AFFECTED_SOP_CLASS_UID, PUSH_MODEL.encode()),
                us(COMMAND_FIELD, N_EVENT_REPORT_RQ),
                us(MESSAGE_ID, message_id),
                us(COMMAND_DATA_SET_TYPE, _HAS_DATA_SET),
                element(AFFECTED_SOP_INSTANCE_UID, PUSH_MODEL_INSTANCE.encode()),
                us(EVENT_TYPE_ID, event_type),
            ),
            information,
        )

    def told(self) -> None:
        """Record that the peer has taken the report."""
        try:
            self._service.told(self.transaction_uid, self._calling_ae_title)
        except SQLAlchemyError as error:
            log.warning("commitment.not_recorded", error=type(error).__name__)

    def discard(self) -> None:
        """Forget what has come."""
        self._service.let_go(len(self._content))
        self._content = bytearray()


def is_commitment(field: int, sop_class_uid: str) -> bool:
    """Whether a command is a request or a report of storage commitment."""
    return sop_class_uid == PUSH_MODEL and field in (N_ACTION_RQ, N_EVENT_REPORT_RQ)
