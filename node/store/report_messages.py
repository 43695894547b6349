"""HL7 messages that are kept: which came, and which cannot be used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, select

from node.domain import digest_of
from node.store.database import insert_if_absent, reading
from node.store.report_tables import messages


class ReportMessages:
    """The messages that have come in.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def problem(self, digest: str) -> str | None:
        """Why a message with these bytes lies in quarantine; "" if it was used, None if new."""
        with self._reader.connect() as connection:
            found: str | None = connection.scalar(
                select(messages.c.problem).where(messages.c.digest == digest)
            )
        return found

    def record(
        self,
        digest: str,
        sender: str,
        control_id: str,
        path: str,
        problem: str,
        now: datetime,
    ) -> None:
        """Record a message that is kept; `problem` says why it is in quarantine, if it is."""
        with self._engine.begin() as connection:
            insert_if_absent(
                connection,
                messages,
                {
                    "digest": digest,
                    "sender": sender[:200],
                    "control_id": digest_of("control id", control_id),
                    "path": path,
                    "received_at": now,
                    "problem": problem,
                },
            )

    def quarantined(self, limit: int = 100) -> list[tuple[str, str, datetime, str]]:
        """Digest, sender, time and reason of the messages that cannot be used, newest first."""
        statement = (
            select(messages.c.digest, messages.c.sender, messages.c.received_at, messages.c.problem)
            .where(messages.c.problem != "")
            .order_by(messages.c.received_at.desc())
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(statement)]
