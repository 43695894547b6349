"""Storage commitment as its requestor and as its provider (PS3.4 Annex J).

The report of an archive may come on the association of the request, or on one that the
archive opens to the node's door, at any time: `node.receive.commitment`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Condition
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association

from node.config.destination import DimseDestination
from node.deliver.rare import rare_association
from node.deliver.wire import name_of
from node.dimse.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_STORAGE_COMMITMENT,
    SOME_FAILED,
    FailureReason,
    Reference,
    Report,
    action_information,
    event_information,
    read_report,
)
from node.errors import PermanentError, TransientError

log = structlog.get_logger(__name__)

REPORT_WITHIN_S: Final = 1.0
"""How long an association is kept open for a report; most archives open one of their own."""

_SUCCESS: Final = 0x0000
_INVALID_ARGUMENT: Final = 0x0115
_MAY_PASS: Final = (FailureReason.PROCESSING_FAILURE, FailureReason.RESOURCE_LIMITATION)
_POLL_S: Final = 0.05


def request_commitments(
    destination: DimseDestination,
    calling_ae_title: str,
    transactions: Mapping[str, Sequence[Reference]],
    *,
    taken: Callable[[str], None],
    report: Callable[[Report], bool],
) -> None:
    """Ask an archive to commit to objects, transaction by transaction (N-ACTION).

    Parameters
    ----------
    transactions
        Transaction UID → objects.
    taken
        Called with each Transaction UID that the archive has taken.
    report
        Called with each report that comes on this association, in another thread; says
        whether the transaction is known.

    Raises
    ------
    Away
        If there is no association to be had.
    TransientError
        If the archive does not answer, or cannot at the moment.
    PermanentError
        If it does not do storage commitment.
    """
    waiting = _Waiting(transactions, report)
    handlers = [(evt.EVT_N_EVENT_REPORT, waiting.on_report)]
    with rare_association(
        destination, calling_ae_title, [PUSH_MODEL], handlers=handlers
    ) as association:
        for transaction_uid, instances in transactions.items():
            _request(association, name_of(destination), transaction_uid, instances)
            taken(transaction_uid)
        waiting.wait(association)


def report_commitment(
    destination: DimseDestination,
    calling_ae_title: str,
    transaction_uid: str,
    committed: Sequence[Reference],
    failed: Mapping[Reference, int],
) -> None:
    """Tell a peer what the node commits to of a transaction (N-EVENT-REPORT).

    On a new association, on which the node is the provider although it opens it.

    Raises
    ------
    Away, TransientError
        If the peer cannot be told now.
    PermanentError
        If it does not let itself be told.
    """
    role = build_role(PUSH_MODEL, scu_role=False, scp_role=True)
    with rare_association(destination, calling_ae_title, [PUSH_MODEL], roles=[role]) as association:
        answer, _ = association.send_n_event_report(
            event_information(transaction_uid, committed, failed),
            SOME_FAILED if failed else ALL_COMMITTED,
            PUSH_MODEL,
            PUSH_MODEL_INSTANCE,
        )
    _check(answer, name_of(destination), "the report of a storage commitment")


class _Waiting:
    """Waits for the reports of transactions that may come while the association is open."""

    def __init__(
        self, transactions: Mapping[str, object], report: Callable[[Report], bool]
    ) -> None:
        self._unreported = set(transactions)
        self._report = report
        self._news = Condition()

    def on_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Answer one N-EVENT-REPORT, whatever it is."""
        try:
            found = read_report(event.event_information)
            known = self._report(found)
        except ValueError as error:
            log.warning("commitment.unreadable", reason=str(error))
            return _INVALID_ARGUMENT, None
        except Exception:  # the archive must get an answer, and may report again
            log.exception("commitment.not_recorded")
            return int(FailureReason.PROCESSING_FAILURE), None
        with self._news:
            self._unreported.discard(found.transaction_uid)
            self._news.notify_all()
        return (_SUCCESS if known else _INVALID_ARGUMENT), None

    def wait(self, association: Association) -> None:
        """Wait until all is reported, the association has ended, or it takes too long."""
        until = time.monotonic() + REPORT_WITHIN_S
        with self._news:
            while self._unreported and association.is_established and time.monotonic() < until:
                self._news.wait(_POLL_S)


def _request(
    association: Association, name: str, transaction_uid: str, instances: Sequence[Reference]
) -> None:
    answer, _ = association.send_n_action(
        action_information(transaction_uid, instances),
        REQUEST_STORAGE_COMMITMENT,
        PUSH_MODEL,
        PUSH_MODEL_INSTANCE,
    )
    if answer.get("Status") == FailureReason.DUPLICATE_TRANSACTION_UID:
        return  # asked before the node was stopped
    _check(answer, name, "a request for storage commitment")


def _check(answer: Dataset, name: str, what: str) -> None:
    status = answer.get("Status")
    if status is None:
        raise TransientError(f"{name} did not answer {what}")
    if status in _MAY_PASS:
        raise TransientError(f"{name} answered {what} with 0x{status:04X}")
    if status != _SUCCESS:
        raise PermanentError(f"{name} refused {what} with 0x{status:04X}")
