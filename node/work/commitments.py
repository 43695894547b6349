"""The node as a provider of storage commitment: peers are told what it keeps.

Only peers that are destinations, too, have an address to be told at; the others are told on
the association of their request (`node.receive.commitment`).
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from node.config.destination import DimseDestination
from node.deliver.commitment import report_commitment
from node.deliver.retry import wait_s
from node.errors import StepError
from node.store.commitment import Asked, Commitments
from node.work.means import Means

log = structlog.get_logger(__name__)

SETTLES_WITHIN_S = 5.0
"""What was acknowledged is in the index by then; before, what is missing says nothing."""


class Reporter:
    """Tells one peer what the node commits to. Used by one thread."""

    def __init__(
        self, destination: DimseDestination, commitments: Commitments, means: Means
    ) -> None:
        self._destination = destination
        self._commitments = commitments
        self._means = means

    def work_off(self) -> None:
        """Answer what the peer waits for."""
        now = self._means.clock()
        for asked in self._commitments.unreported([self._destination.ae_title], now):
            self._report(asked)

    def _report(self, asked: Asked) -> None:
        now = self._means.clock()
        judgement = self._commitments.judge(asked.instances)
        settled_at = asked.received_at + timedelta(seconds=SETTLES_WITHIN_S)
        if judgement.failed and asked.received_at <= now < settled_at:
            self._note_try(asked, 0, settled_at - now)
            return
        try:
            report_commitment(
                self._destination,
                self._means.calling_ae_title,
                asked.transaction_uid,
                judgement.committed,
                judgement.failed,
            )
        except StepError as error:
            tries, retry = asked.tries + 1, self._destination.retry
            wait = timedelta(seconds=wait_s(retry, tries, self._means.chance()))
            given_up = now >= asked.received_at + timedelta(hours=retry.give_up_after_h)
            log.warning("commitment.not_told", reason=str(error), given_up=given_up)
            self._note_try(asked, tries, None if given_up else wait)
            return
        self._commitments.note_reported(asked.transaction_uid, asked.calling_ae_title, now)
        log.info(
            "commitment.told",
            calling_ae_title=asked.calling_ae_title,
            transaction_uid=asked.transaction_uid,
            committed=len(judgement.committed),
            failed=len(judgement.failed),
        )

    def _note_try(self, asked: Asked, tries: int, wait: timedelta | None) -> None:
        next_try_at = None if wait is None else self._means.clock() + wait
        self._commitments.note_try(
            asked.transaction_uid, asked.calling_ae_title, tries, next_try_at
        )
