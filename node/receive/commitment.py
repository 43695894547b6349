"""Storage commitment at the door: reports of archives, and requests of peers (PS3.4 Annex J).

An archive reports on an association that it opens to the node, as the provider of the
service: role selection is answered, and every report gets its answer, also a failure.
A peer that asks the node to commit is told from the index: what is durable and indexed is
committed to. A peer that is also a destination is told on an association of its own, by the
work process; any other one on the association of its request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from threading import Event
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID
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
    event_information,
    read_report,
    read_request,
)
from node.receive.commands import Command
from node.receive.status import Status
from node.store.commitment import Commitments, Judgement
from node.store.proof import ProofRows

log = structlog.get_logger(__name__)

MAX_INFORMATION_BYTES: Final = 16 * 2**20
"""Of a request or report: a hundred thousand instances."""
SETTLES_WITHIN_S: Final = 5.0
"""What was acknowledged is in the index by then."""
_LOOK_EVERY_S: Final = 0.25
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

    def report(self, ds: Dataset, calling_ae_title: str) -> tuple[int, str]:
        """Record the report of an archive; status and comment of the answer.

        Raises
        ------
        ValueError
            If it is no such report.
        """
        report = read_report(ds)
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
        if not known:
            return Status.INVALID_ARGUMENT_VALUE, "no such transaction was asked for"
        return Status.SUCCESS, ""

    def request(self, ds: Dataset, calling_ae_title: str) -> str:
        """Keep a peer's request until it is told; the Transaction UID to tell it of at once, or "".

        Raises
        ------
        ValueError
            If it is no such request.
        """
        transaction_uid, wanted = read_request(ds)
        self._commitments.record(transaction_uid, calling_ae_title, wanted, self._clock())
        log.info(
            "commitment.wanted",
            calling_ae_title=calling_ae_title,
            transaction_uid=transaction_uid,
            objects=len(wanted),
        )
        return "" if calling_ae_title in self._called_back else transaction_uid

    def judge(self, ds: Dataset) -> Judgement:
        """Say what the node commits to; what was only just acknowledged may take a moment."""
        _, wanted = read_request(ds)
        pause = Event()
        for _ in range(int(SETTLES_WITHIN_S / _LOOK_EVERY_S)):
            judgement = self._commitments.judge(wanted)
            if not judgement.failed:
                return judgement
            pause.wait(_LOOK_EVERY_S)
        return self._commitments.judge(wanted)

    def told(self, transaction_uid: str, calling_ae_title: str) -> None:
        """Record that a peer has taken the report of a transaction."""
        self._commitments.note_reported(transaction_uid, calling_ae_title, self._clock())


class CommitmentOperation:
    """One N-ACTION or N-EVENT-REPORT from its command set to its answer. Never raises.

    Parameters
    ----------
    transfer_syntax_uid
        Of the presentation context.
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
        self._syntax = UID(transfer_syntax_uid)
        self._calling_ae_title = calling_ae_title
        self._content = bytearray()
        self._too_large = False
        self._asked: Dataset | None = None
        self.transaction_uid = ""

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take fragments of the encoded data set."""
        for fragment in fragments:
            self._too_large |= len(self._content) + len(fragment) > MAX_INFORMATION_BYTES
            if not self._too_large:
                self._content += fragment

    def finish(self) -> tuple[int, str]:
        """Record it, and return status and Error Comment of the answer."""
        if self._too_large:
            return Status.RESOURCE_LIMITATION, f"more than {MAX_INFORMATION_BYTES} bytes"
        if self._command.sop_instance_uid != PUSH_MODEL_INSTANCE:
            return Status.NO_SUCH_SOP_INSTANCE, "not the instance of the push model"
        if self._command.field == N_EVENT_REPORT_RQ:
            if self._command.type_id not in (ALL_COMMITTED, SOME_FAILED):
                return Status.NO_SUCH_EVENT_TYPE, "not an event of the push model"
        elif self._command.type_id != REQUEST_STORAGE_COMMITMENT:
            return Status.NO_SUCH_ACTION_TYPE, "not an action of the push model"
        try:
            ds = self._data_set()
            if self._command.field == N_EVENT_REPORT_RQ:
                return self._service.report(ds, self._calling_ae_title)
            self.transaction_uid = self._service.request(ds, self._calling_ae_title)
            self._asked = ds
            return Status.SUCCESS, ""
        except SQLAlchemyError as error:
            log.warning("commitment.not_recorded", error=type(error).__name__)
            return Status.PROCESSING_FAILURE, "the database does not take it; send it again later"
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            log.warning("commitment.unreadable", reason=f"{type(error).__name__}: {error}")
            return Status.INVALID_ARGUMENT_VALUE, "it cannot be read"

    def follow_up(self, message_id: int) -> FollowUp | None:
        """Make the report that is sent on the same association, where there is one."""
        if not self.transaction_uid or self._asked is None:
            return None
        judgement = self._service.judge(self._asked)
        information = event_information(self.transaction_uid, judgement.committed, judgement.failed)
        event_type = SOME_FAILED if judgement.failed else ALL_COMMITTED
        return FollowUp(
            encode(
                element(AFFECTED_SOP_CLASS_UID, PUSH_MODEL.encode()),
                us(COMMAND_FIELD, N_EVENT_REPORT_RQ),
                us(MESSAGE_ID, message_id),
                us(COMMAND_DATA_SET_TYPE, _HAS_DATA_SET),
                element(AFFECTED_SOP_INSTANCE_UID, PUSH_MODEL_INSTANCE.encode()),
                us(EVENT_TYPE_ID, event_type),
            ),
            self._encoded(information),
        )

    def told(self) -> None:
        """Record that the peer has taken the report."""
        try:
            self._service.told(self.transaction_uid, self._calling_ae_title)
        except SQLAlchemyError as error:
            log.warning("commitment.not_recorded", error=type(error).__name__)

    def discard(self) -> None:
        """Forget it: its sender has gone."""
        self._content.clear()

    def _data_set(self) -> Dataset:
        return read_dataset(
            BytesIO(self._content),
            is_implicit_VR=self._syntax.is_implicit_VR,
            is_little_endian=self._syntax.is_little_endian,
        )

    def _encoded(self, ds: Dataset) -> bytes:
        stream = DicomBytesIO()
        stream.is_implicit_VR = self._syntax.is_implicit_VR
        stream.is_little_endian = self._syntax.is_little_endian
        write_dataset(stream, ds)
        return bytes(stream.getvalue())


def is_commitment(field: int, sop_class_uid: str) -> bool:
    """Whether a command is a request or a report of storage commitment."""
    return sop_class_uid == PUSH_MODEL and field in (N_ACTION_RQ, N_EVENT_REPORT_RQ)
