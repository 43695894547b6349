"""What is kept but not used because it contradicts what was there, and how it is let in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select, update

from node.domain import Standing, StudyState
from node.store.database import instances, reading, studies

RELEASED = "released: "
"""Goes before the reason of an instance that an administrator has let in."""


@dataclass(frozen=True)
class QuarantineRow:
    """One instance in quarantine; `reason` says what it contradicts, and names no patient."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    digest: str
    calling_ae_title: str
    received_at: datetime
    reason: str


class Quarantine:
    """The instances in quarantine.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def list(self, study_instance_uid: str | None = None, limit: int = 100) -> list[QuarantineRow]:
        """Read what is in quarantine, newest first; of one study if one is named."""
        statement = (
            select(
                instances.c.study_instance_uid,
                instances.c.series_instance_uid,
                instances.c.sop_instance_uid,
                instances.c.digest,
                instances.c.calling_ae_title,
                instances.c.received_at,
                instances.c.standing_reason.label("reason"),
            )
            .where(instances.c.standing == Standing.QUARANTINED)
            .order_by(instances.c.id.desc())
            .limit(limit)
        )
        if study_instance_uid is not None:
            statement = statement.where(instances.c.study_instance_uid == study_instance_uid)
        with self._reader.connect() as connection:
            return [QuarantineRow(**row._mapping) for row in connection.execute(statement)]

    def counts(self) -> dict[str, int]:
        """How many are in quarantine by Study Instance UID; studies without are absent."""
        statement = (
            select(instances.c.study_instance_uid, func.count())
            .where(instances.c.standing == Standing.QUARANTINED)
            .group_by(instances.c.study_instance_uid)
        )
        with self._reader.connect() as connection:
            return {study: count for study, count in connection.execute(statement)}

    def release(
        self, study_instance_uid: str, sop_instance_uid: str | None = None, *, now: datetime
    ) -> int:
        """Let a study's instances, or one of them, be used; the study is planned anew with them.

        It holds for what is there, not for what is still to come. A second call finds nothing
        to release and changes nothing.

        Returns
        -------
        int
            How many instances were released.
        """
        where = [
            instances.c.study_instance_uid == study_instance_uid,
            instances.c.standing == Standing.QUARANTINED,
        ]
        if sop_instance_uid is not None:
            where.append(instances.c.sop_instance_uid == sop_instance_uid)
        with self._engine.begin() as connection:
            # The study first, as arrivals do: two that lock in another order wait for ever.
            connection.execute(
                select(studies.c.state)
                .where(studies.c.study_instance_uid == study_instance_uid)
                .with_for_update()
            )
            released = connection.execute(
                update(instances)
                .where(*where)
                .values(
                    standing=Standing.USED,
                    standing_reason=RELEASED + instances.c.standing_reason,
                )
            ).rowcount
            if released:
                connection.execute(
                    update(studies)
                    .where(studies.c.study_instance_uid == study_instance_uid)
                    .values(state=StudyState.RECEIVING, last_received_at=now, reason="")
                )
        return released
