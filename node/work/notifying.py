"""Telling a web address of new discordances, without a word about a patient."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

import structlog

from node.config.reports import Notify
from node.store.discordances import DiscordanceRow, Discordances

log = structlog.get_logger(__name__)

AT_ONCE = 20
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
GIVE_UP_AFTER = timedelta(days=3)


class Notifier:
    """Posts each new discordance once the address takes it.

    A crash between its answer and the row that says so posts it again: whoever takes it knows it
    by its id.
    """

    def __init__(self, notify: Notify, discordances: Discordances) -> None:
        self._notify = notify
        self._discordances = discordances
        # No redirects: what is configured is what is told.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def notify(self, now: datetime) -> None:
        """Tell of what is due; never raises but for the database."""
        for row in self._discordances.to_notify(now, AT_ONCE):
            try:
                self._post(row)
            except (OSError, HTTPException, ValueError) as error:
                reason = getattr(error, "code", None) or type(error).__name__
                log.warning("discordance.not_notified", id=row.id, reason=str(reason))
                if now - row.opened_at > GIVE_UP_AFTER:
                    self._discordances.note_notified(row, now)
                    continue
                wait_s = min(FIRST_WAIT_S * 2 ** min(row.notify_tries, 10), LONGEST_WAIT_S)
                self._discordances.note_not_notified(row, now + timedelta(seconds=wait_s))
                return  # it is away for the others, too
            else:
                self._discordances.note_notified(row, now)
                log.info("discordance.notified", id=row.id)

    def _post(self, row: DiscordanceRow) -> None:
        content = {
            "id": row.id,
            "model": row.model,
            "concept": row.concept,
            "laterality": row.laterality or None,
            "outcome": row.outcome,
            "opened_at": row.opened_at.isoformat(),
        }
        request = urllib.request.Request(  # noqa: S310 - the configuration allows http and https only
            self._notify.url,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with self._opener.open(request, timeout=self._notify.timeout_s) as answer:
            answer.read(1024)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None
