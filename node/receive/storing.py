"""One C-STORE from its request to its status, whichever way its bytes come."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache

import structlog
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError

from node.errors import RejectedInstance
from node.metrics import INSTANCES_RECEIVED
from node.receive.message import TAKEN_AT_ONCE
from node.receive.status import Status
from node.receive.store_request import Incoming, Intake, StoreRequest
from node.store.chunk import NOTHING, Chunk
from node.store.standing import Receipt

log = structlog.get_logger(__name__)


class StoreOperation:
    """Keeps one data set and says with which DIMSE status it is answered. Never raises.

    ``0x0000`` kept · ``0xA700`` out of resources, send again later · ``0xA900`` not what
    the request says · ``0xC000`` cannot be understood · ``0x0110`` a fault of ours.

    Parameters
    ----------
    intake
        Where the data set goes.
    """

    def __init__(self, intake: Intake, request: StoreRequest) -> None:
        self._intake = intake
        self._request = request
        self._incoming: Incoming | None = None
        self._finished: Incoming | None = None
        self._status: int = Status.SUCCESS
        self._comment = ""
        try:
            self._incoming = intake.begin(request)
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            self._refuse(error)

    @property
    def takes_bytes(self) -> int:
        """So many bytes it would like to be given at once, at least."""
        return TAKEN_AT_ONCE if self._incoming is None else self._incoming.takes_bytes

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take fragments of the encoded data set; what was refused already is let go."""
        if self._incoming is None:
            return
        try:
            self._incoming.write(fragments)
        except Exception as error:  # noqa: BLE001 - it is logged where it is turned into a status
            self.discard()
            self._refuse(error)

    def finish(self, rest: Chunk = NOTHING) -> tuple[int, str]:
        """Take the last fragments, and return status and Error Comment.

        Success is returned only after the bytes are on disk, and in the index or where the next
        start finds them, because Success says that the instance is stored (PS3.4 Section B.2.3).
        """
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            try:
                incoming.finish(rest)
            except Exception as error:  # noqa: BLE001 - as above
                self._refuse(error)
            else:
                self._finished = incoming
        return self._status, self._comment

    def answered(self) -> None:
        """Have the index told of what is kept: the sender has its answer, and need not wait."""
        if self._finished is None:
            return
        try:
            self._finished.hand_over().add_done_callback(_count)
        except Exception:  # it is on the disk, and the next start tells the index
            log.exception("instance.not_indexed", sop_instance_uid=self._request.sop_instance_uid)
        self._intake.make_ready()

    def discard(self) -> None:
        """Forget the data set: its sender has gone."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _refuse(self, error: Exception) -> None:
        """Turn what went wrong into a status; called in the handler of `error`."""
        uid = self._request.sop_instance_uid
        if isinstance(error, RejectedInstance):
            outcome, self._status, self._comment = "rejected", error.status, error.reason
            log.warning(
                "instance.rejected",
                sop_instance_uid=uid,
                status=f"0x{error.status:04X}",
                reason=error.reason,
            )
        elif isinstance(error, OSError | SQLAlchemyError):
            outcome, self._status = "out of resources", Status.OUT_OF_RESOURCES
            self._comment = "disk or database failed; send again later"
            log.exception("instance.not_stored", sop_instance_uid=uid)
        else:
            outcome, self._status = "failed", Status.PROCESSING_FAILURE
            self._comment = "internal error; see the log of the node"
            log.exception("instance.failed", sop_instance_uid=uid)
        _counter(outcome).inc()


@cache
def _counter(outcome: str) -> Counter:
    """The counter of an outcome, of which there are a handful; to find it takes a microsecond."""
    return INSTANCES_RECEIVED.labels(outcome=outcome)


def _count(kept: Future[Receipt]) -> None:
    """Count an instance when the index has judged it; what it does not take is logged there."""
    if kept.exception() is None:
        _counter(kept.result()).inc()
