"""What waits for each destination, and how each destination stands.

The waiting rows of ``deliveries`` are the queue. A row of ``outboxes`` for each destination
is its circuit breaker, and the lease of the one work process that sends to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, exists, func, or_, select, update

from node.domain import DeliveryState, StudyState
from node.store.again import deliver_again
from node.store.database import (
    deliveries,
    insert_if_absent,
    outboxes,
    reading,
    revisions,
)
from node.store.delivery import (
    SENDING_ORDER,
    UNPROVEN,
    DeliveryRow,
    delivery_row,
    select_deliveries,
)

SENT_AGAIN = "sent again by an administrator"
"""Reason of a delivery that `OutboxRows.resend` has put back."""

Revision = tuple[str, int]
"""Study Instance UID and revision."""


@dataclass(frozen=True)
class OutboxRow:
    """How one destination stands.

    Parameters
    ----------
    failures
        In a row; 0: it takes what it is sent.
    reason
        Of the last failure.
    away_since, next_try_at
        None while it takes what it is sent.
    owner
        Work process that sends to it until `owned_until`; empty: none.
    """

    destination: str
    failures: int = 0
    reason: str = ""
    away_since: datetime | None = None
    next_try_at: datetime | None = None
    owner: str = ""
    owned_until: datetime | None = None


@dataclass(frozen=True)
class OutboxSummary:
    """One destination at a glance.

    Parameters
    ----------
    oldest
        When the oldest object that waits began to; None: nothing waits.
    """

    destination: str
    waiting: int
    failed: int
    oldest: datetime | None
    failures: int
    reason: str
    away_since: datetime | None
    next_try_at: datetime | None


class OutboxRows:
    """The queue of each destination.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def open(self, destinations: Iterable[str]) -> None:
        """Make sure that each destination has its row."""
        with self._engine.begin() as connection:
            for destination in destinations:
                insert_if_absent(connection, outboxes, {"destination": destination})

    def row(self, destination: str) -> OutboxRow:
        """How a destination stands."""
        with self._reader.connect() as connection:
            found = connection.execute(
                select(outboxes).where(outboxes.c.destination == destination)
            ).first()
        return OutboxRow(destination) if found is None else OutboxRow(**found._mapping)

    def take_lease(self, destination: str, owner: str, now: datetime, seconds: float) -> bool:
        """Be the one who sends to a destination for a while; False if another process is.

        A lease that ends later than one taken now could was taken before the clock was set
        back, and does not count.
        """
        until = now + timedelta(seconds=seconds)
        free = or_(
            outboxes.c.owner.in_(("", owner)),
            outboxes.c.owned_until.is_(None),
            outboxes.c.owned_until <= now,
            outboxes.c.owned_until > until + timedelta(seconds=seconds),
        )
        with self._engine.begin() as connection:
            return (
                connection.execute(
                    update(outboxes)
                    .where(outboxes.c.destination == destination, free)
                    .values(owner=owner, owned_until=until)
                ).rowcount
                == 1
            )

    def note_failure(
        self,
        destination: str,
        failures: int,
        reason: str,
        away_since: datetime,
        next_try_at: datetime,
    ) -> None:
        """Record that a destination did not take what it was sent, so often in a row."""
        self._set(
            destination,
            failures=failures,
            reason=reason,
            away_since=away_since,
            next_try_at=next_try_at,
        )

    def note_success(self, destination: str) -> None:
        """Record that a destination is back."""
        self._set(destination, failures=0, reason="", away_since=None, next_try_at=None)

    def due(
        self,
        destination: str,
        now: datetime,
        longest_s: float,
        limit: int,
        *,
        fresh_only: bool = False,
    ) -> list[DeliveryRow]:
        """What may be sent to a destination now, in the order of sending.

        Parameters
        ----------
        longest_s
            The longest wait there is: one that ends later is not waited for.
        fresh_only
            Leave out what the destination has refused before.
        """
        ready: ColumnElement[bool] = deliveries.c.next_try_at.is_(None)
        if not fresh_only:
            ready = or_(
                ready,
                deliveries.c.next_try_at <= now,
                deliveries.c.next_try_at > now + timedelta(seconds=longest_s),
            )
        waiting = _waiting(destination)
        found: list[DeliveryRow] = []
        with self._reader.connect() as connection:
            # One priority after the other: the index gives each in order, however many wait.
            level = connection.scalar(select(func.max(deliveries.c.priority)).where(waiting))
            while level is not None and len(found) < limit:
                page = (
                    select_deliveries()
                    .where(waiting, ready, deliveries.c.priority == level)
                    .order_by(*SENDING_ORDER[1:])
                    .limit(limit - len(found))
                )
                found += [delivery_row(row) for row in connection.execute(page)]
                below = and_(waiting, deliveries.c.priority < level)
                level = connection.scalar(select(func.max(deliveries.c.priority)).where(below))
        return found

    def end_waits(self, destination: str) -> None:
        """Let what waits for a try of its own be due at once."""
        with self._engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(_waiting(destination), deliveries.c.next_try_at.is_not(None))
                .values(next_try_at=None)
            )

    def give_up(
        self, destination: str, reason: str, now: datetime, *, before: datetime | None, limit: int
    ) -> set[Revision]:
        """Fail what still waits for a destination, and return the revisions it belongs to.

        Parameters
        ----------
        reason
            Begins the reason of each; what kept it waiting is added.
        before
            Only what began to wait before then; None: everything.
        limit
            At most so many in one call.
        """
        where = [_waiting(destination)]
        if before is not None:
            where.append(deliveries.c.created_at < before)
        away = select(outboxes.c.reason).where(outboxes.c.destination == destination)
        with self._engine.begin() as connection:
            found = connection.execute(select(deliveries).where(*where).limit(limit)).all()
            kept_by = connection.scalar(away) or ""
            for row in found:
                why = row.reason if row.reason not in ("", SENT_AGAIN) else kept_by
                connection.execute(
                    update(deliveries)
                    .where(
                        deliveries.c.sop_instance_uid == row.sop_instance_uid,
                        deliveries.c.destination == destination,
                    )
                    .values(
                        state=DeliveryState.FAILED,
                        reason=f"{reason}: {why}" if why else reason,
                        next_try_at=None,
                        updated_at=now,
                    )
                )
        return {(row.study_instance_uid, row.revision) for row in found}

    def resend(
        self, study_instance_uid: str, destination: str | None, *, failed_only: bool, now: datetime
    ) -> int:
        """Put what was delivered or has failed of a study back to waiting; say how many objects.

        Tries are counted on. The revisions of which results are sent again are delivering, and
        the destinations concerned are tried at once, however long they would have waited.
        """
        states = [DeliveryState.FAILED]
        if not failed_only:
            states.append(DeliveryState.DELIVERED)
        where = [
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.state.in_(states),
        ]
        if destination is not None:
            where.append(deliveries.c.destination == destination)
        with self._engine.begin() as connection:
            found = connection.execute(
                select(deliveries.c.revision, deliveries.c.destination).where(*where)
            ).all()
            connection.execute(
                update(deliveries)
                .where(*where)
                .values(
                    state=DeliveryState.WAITING,
                    reason=SENT_AGAIN,
                    created_at=now,
                    updated_at=now,
                    next_try_at=None,
                    **UNPROVEN,
                )
            )
            for revision in {row.revision for row in found}:
                deliver_again(connection, study_instance_uid, revision)
            connection.execute(
                update(outboxes)
                .where(
                    outboxes.c.destination.in_({row.destination for row in found}),
                    outboxes.c.failures > 0,
                )
                .values(next_try_at=now)
            )
        return len(found)

    def unsettled(self, limit: int) -> list[Revision]:
        """Revisions that are delivering, and of which nothing waits any more."""
        waiting = exists().where(
            deliveries.c.study_instance_uid == revisions.c.study_instance_uid,
            deliveries.c.revision == revisions.c.revision,
            deliveries.c.state == DeliveryState.WAITING,
        )
        statement = (
            select(revisions.c.study_instance_uid, revisions.c.revision)
            .where(revisions.c.state == StudyState.DELIVERING, ~waiting)
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(statement)]

    def waited_for(self, known: Collection[str]) -> list[str]:
        """Destinations that something waits for, and that are not among the known ones."""
        statement = (
            select(deliveries.c.destination)
            .where(
                deliveries.c.state == DeliveryState.WAITING,
                deliveries.c.destination.not_in(known),
            )
            .distinct()
        )
        with self._reader.connect() as connection:
            return list(connection.scalars(statement))

    def explained(self, rows: Sequence[DeliveryRow]) -> list[DeliveryRow]:
        """The same deliveries; those that wait say what for, and when the next try is.

        Where the destination is away that is its reason, and not that of the object.
        """
        waiting = {row.destination for row in rows if row.state is DeliveryState.WAITING}
        away = {row.destination: row for row in map(self.row, waiting) if row.failures}
        return [
            replace(
                row,
                reason=away[row.destination].reason,
                next_try_at=_later(row.next_try_at, away[row.destination].next_try_at),
            )
            if row.state is DeliveryState.WAITING and row.destination in away
            else row
            for row in rows
        ]

    def summaries(self) -> list[OutboxSummary]:
        """Every destination that was ever sent to or is configured, by name."""
        d = deliveries.c
        counted = select(d.destination, d.state, func.count(), func.min(d.created_at)).group_by(
            d.destination, d.state
        )
        with self._reader.connect() as connection:
            rows = {row.destination: row for row in connection.execute(select(outboxes))}
            counts = {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(counted)}
        names = sorted({*rows, *(destination for destination, _ in counts)})
        found = []
        for name in names:
            row = OutboxRow(**rows[name]._mapping) if name in rows else OutboxRow(name)
            waiting, oldest = counts.get((name, DeliveryState.WAITING), (0, None))
            found.append(
                OutboxSummary(
                    destination=name,
                    waiting=waiting,
                    failed=counts.get((name, DeliveryState.FAILED), (0, None))[0],
                    oldest=oldest,
                    failures=row.failures,
                    reason=row.reason,
                    away_since=row.away_since,
                    next_try_at=row.next_try_at,
                )
            )
        return found

    def _set(self, destination: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(outboxes).where(outboxes.c.destination == destination).values(**values)
            )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _waiting(destination: str) -> ColumnElement[bool]:
    return and_(
        deliveries.c.destination == destination, deliveries.c.state == DeliveryState.WAITING
    )
