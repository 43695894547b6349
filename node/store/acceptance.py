"""What each destination is known not to take, learned when it refused it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, select

from node.store.database import reading, refusals

HELD_FOR = timedelta(hours=24)
"""Then it is tried again: somebody may have enabled the SOP class meanwhile."""


class Acceptance:
    """The SOP classes that destinations have refused.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def refused(self, destination: str, now: datetime) -> dict[str, str]:
        """SOP Class UID → reason, of what was refused lately."""
        statement = select(refusals.c.sop_class_uid, refusals.c.reason).where(
            refusals.c.destination == destination,
            refusals.c.learned_at > now - HELD_FOR,
        )
        with self._reader.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def note_refused(
        self, destination: str, sop_class_uid: str, reason: str, now: datetime
    ) -> None:
        """Remember that a destination does not take a SOP class."""
        key = {"destination": destination, "sop_class_uid": sop_class_uid}
        with self._engine.begin() as connection:
            connection.execute(delete(refusals).filter_by(**key))
            connection.execute(refusals.insert().values(**key, reason=reason, learned_at=now))

    def note_accepted(self, destination: str, sop_class_uid: str) -> None:
        """Forget it: the destination takes that SOP class."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(refusals).where(
                    refusals.c.destination == destination,
                    refusals.c.sop_class_uid == sop_class_uid,
                )
            )
