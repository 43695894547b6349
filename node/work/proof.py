"""One destination: what it has to prove, and what is done with what it does not.

Storage commitment: one transaction for each study. Where the destination does not do that,
it is asked what it holds (C-FIND or QIDO-RS). All that is asked, and when the answer has to
be there, is in the ledger (`node.store.proof`), so a process that is killed at any line asks
again where it stood. What stays unproven is sent once more; then the alarm is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from node.config.destination import Destination, DimseDestination
from node.deliver import kinds
from node.deliver.commitment import request_commitments
from node.deliver.retry import wait_s
from node.dimse.commitment import Report
from node.domain import ProofMethod
from node.errors import PermanentError, TransientError
from node.store.proof import ProofRequest
from node.store.rounds import LAST_ROUND, Next
from node.work.means import LEASE_S, Means

log = structlog.get_logger(__name__)

METHODS: Final = {
    "storage_commitment": ProofMethod.STORAGE_COMMITMENT,
    "query": ProofMethod.QUERY,
}
"""Values of ``proof`` that ask for one."""


class Prover:
    """Asks one destination to prove what it was sent. Used by one thread."""

    def __init__(self, name: str, destination: Destination, means: Means) -> None:
        self.name = name
        self._destination = destination
        self._means = means
        self._rows = means.ledger.proofs
        self._method = METHODS.get(destination.proof)

    def work_off(self) -> None:
        """Ask for what is due, and draw the consequences of what is overdue.

        Returns at once if the destination is away, or another host is at it.
        """
        if self._method is None:
            return
        now = self._means.clock()
        self._rows.make_requests(self.name, self._method, now)
        longest_s = max(self._destination.retry.longest_s, self._destination.prove_within_s)
        due = self._rows.due(self.name, now, longest_s)
        if not due or not self._may_ask(now):
            return
        to_ask = []
        for request in due:
            if request.method is ProofMethod.QUERY:
                self._query(request)
            elif request.asked_at is None:
                to_ask.append(request)
            else:
                seconds = self._destination.prove_within_s
                self._go_on(request, f"no report of storage commitment within {seconds:g} s")
        if to_ask:
            self._request(to_ask)

    def _may_ask(self, now: datetime) -> bool:
        outbox = self._means.ledger.outbox
        row = outbox.row(self.name)
        if row.failures:  # the outbox finds out when it is back
            return False
        return outbox.take_lease(self.name, self._means.owner, now, LEASE_S)

    def _request(self, requests: Sequence[ProofRequest]) -> None:
        """Ask for storage commitment, all over one association."""
        assert isinstance(self._destination, DimseDestination)  # noqa: S101 - METHODS of its kind
        unasked = {request.transaction_uid: request for request in requests}

        def taken(transaction_uid: str) -> None:
            """Record that the report is awaited from now on."""
            now = self._means.clock()
            until = now + timedelta(seconds=self._destination.prove_within_s)
            self._rows.note_asked(transaction_uid, now, until)
            request = unasked.pop(transaction_uid)
            log.info(
                "commitment.asked",
                destination=self.name,
                transaction_uid=transaction_uid,
                objects=len(request.items),
            )

        try:
            request_commitments(
                self._destination,
                self._means.calling_ae_title,
                {
                    request.transaction_uid: [
                        (item.sop_class_uid, item.sop_instance_uid) for item in request.items
                    ]
                    for request in requests
                },
                taken=taken,
                report=self._on_report,
            )
        except PermanentError as error:
            for transaction_uid in unasked:
                log.warning("commitment.not_done", destination=self.name, reason=str(error))
                self._rows.ask_by_query(transaction_uid, str(error))
        except TransientError as error:
            for request in unasked.values():
                self._postpone(request, str(error))

    def _on_report(self, report: Report) -> bool:
        now = self._means.clock()
        known = self._rows.report(report.transaction_uid, report.committed, report.failed, now)
        log.info(
            "commitment.reported",
            destination=self.name,
            transaction_uid=report.transaction_uid,
            known=known,
            committed=len(report.committed),
            failed=len(report.failed),
        )
        return known

    def _query(self, request: ProofRequest) -> None:
        """Look up what the destination holds of a study."""
        series = {item.series_instance_uid for item in request.items}
        try:
            held = kinds.held(
                self._destination, self._means.calling_ae_title, request.study_instance_uid, series
            )
        except PermanentError as error:
            self._raise_alarm(request, str(error))
            return
        except TransientError as error:
            self._postpone(request, str(error))
            return
        now = self._means.clock()
        wanted = {item.sop_instance_uid for item in request.items}
        self._rows.prove(request.transaction_uid, wanted & held, ProofMethod.QUERY, now)
        if not wanted - held:
            log.info("delivery.proven", destination=self.name, objects=len(wanted))
            return
        asked_at = request.asked_at or now
        until = asked_at + timedelta(seconds=self._destination.prove_within_s)
        is_last = any(item.round >= LAST_ROUND for item in request.items)
        if is_last or now >= until:
            self._go_on(request, "a query does not find it at the destination")
            return
        # It may take an archive a while to list what it has stored.
        self._rows.note_asked(request.transaction_uid, asked_at, min(until, now + self._wait(1)))

    def _go_on(self, request: ProofRequest, reason: str) -> None:
        came_to = self._rows.go_on(request, reason, self._means.clock())
        for what, count in came_to.items():
            if what is Next.ALARMED:
                self._alarm(request, reason, count)
            else:
                log.warning(
                    "delivery.unproven",
                    destination=self.name,
                    study_instance_uid=request.study_instance_uid,
                    objects=count,
                    reason=reason,
                    then=str(what),
                )

    def _postpone(self, request: ProofRequest, reason: str) -> None:
        now, retry = self._means.clock(), self._destination.retry
        if now >= request.made_at + timedelta(hours=retry.give_up_after_h):
            self._raise_alarm(request, reason)
            return
        tries = request.tries + 1
        self._rows.note_try(request.transaction_uid, tries, now + self._wait(tries), reason)

    def _raise_alarm(self, request: ProofRequest, reason: str) -> None:
        count = self._rows.raise_alarm(request, reason, self._means.clock())
        self._alarm(request, reason, count)

    def _alarm(self, request: ProofRequest, reason: str, count: int) -> None:
        log.error(
            "delivery.alarm",
            destination=self.name,
            study_instance_uid=request.study_instance_uid,
            objects=count,
            reason=reason,
        )

    def _wait(self, tries: int) -> timedelta:
        seconds = wait_s(self._destination.retry, tries, self._means.chance())
        return timedelta(seconds=seconds)
