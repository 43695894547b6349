"""What each destination has proven to hold, and what it was asked.

Everything is in rows: a process that is killed at any line asks again, with the same
Transaction UID.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    exists,
    func,
    or_,
    select,
    update,
)

from node.domain import DeliveryState, Proof, ProofMethod
from node.store.again import deliver_again
from node.store.database import artifacts, deliveries, proof_requests, reading
from node.store.rounds import LAST_ROUND, Next, next_round

STUDIES_AT_ONCE = 50


@dataclass(frozen=True)
class ProofItem:
    """One object that a destination is to prove to hold."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    round: int


@dataclass(frozen=True)
class ProofRequest:
    """What one destination was, or will be, asked about one study.

    Parameters
    ----------
    asked_at
        When it has taken the request; None: not yet.
    tries
        In a row that came to nothing.
    items
        What of it is still unproven.
    """

    transaction_uid: str
    destination: str
    study_instance_uid: str
    method: ProofMethod
    made_at: datetime
    asked_at: datetime | None
    tries: int
    items: tuple[ProofItem, ...]


class ProofRows:
    """The proofs of all destinations.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def make_requests(self, destination: str, method: ProofMethod, now: datetime) -> int:
        """Put what was delivered and has to be proven into requests, one for each study.

        A study of which something still waits for the destination is left for later.

        Returns
        -------
        int
            How many requests were made.
        """
        others = deliveries.alias()
        complete = ~exists().where(
            others.c.destination == destination,
            others.c.study_instance_uid == deliveries.c.study_instance_uid,
            others.c.state == DeliveryState.WAITING,
        )
        open_ones = and_(_awaited(destination), deliveries.c.transaction_uid.is_(None))
        last = deliveries.c.proof_round >= LAST_ROUND
        groups = select(deliveries.c.study_instance_uid, last.label("last")).where(
            open_ones, complete
        )
        limited = groups.distinct().limit(STUDIES_AT_ONCE)
        with self._reader.connect() as connection:
            if connection.execute(limited).first() is None:
                return 0  # most of the time; and a transaction would wait for the other writers
        with self._engine.begin() as connection:
            found = connection.execute(limited).all()
            for study_instance_uid, is_last in found:
                transaction_uid = f"2.25.{uuid.uuid4().int}"
                connection.execute(
                    proof_requests.insert().values(
                        transaction_uid=transaction_uid,
                        destination=destination,
                        study_instance_uid=study_instance_uid,
                        method=ProofMethod.QUERY if is_last else method,
                        made_at=now,
                        tries=0,
                        reason="",
                    )
                )
                connection.execute(
                    update(deliveries)
                    .where(
                        open_ones,
                        deliveries.c.study_instance_uid == study_instance_uid,
                        last if is_last else ~last,
                    )
                    .values(transaction_uid=transaction_uid)
                )
        return len(found)

    def due(self, destination: str, now: datetime, longest_s: float) -> list[ProofRequest]:
        """Requests that are to be made, or to be looked after, now; the oldest first.

        Parameters
        ----------
        longest_s
            The longest wait there is: one that ends later was begun before the clock was set
            back.
        """
        next_try_at = proof_requests.c.next_try_at
        ready = or_(
            next_try_at.is_(None),
            next_try_at <= now,
            next_try_at > now + timedelta(seconds=longest_s),
        )
        statement = (
            select(proof_requests)
            .where(
                proof_requests.c.destination == destination,
                proof_requests.c.ended_at.is_(None),
                ready,
            )
            .order_by(proof_requests.c.made_at)
            .limit(STUDIES_AT_ONCE)
        )
        with self._reader.connect() as connection:
            return [self._request(connection, row) for row in connection.execute(statement)]

    def note_asked(self, transaction_uid: str, now: datetime, look_again_at: datetime) -> None:
        """Record that the destination has taken a request."""
        self._set(transaction_uid, asked_at=now, next_try_at=look_again_at, tries=0, reason="")

    def note_try(
        self, transaction_uid: str, tries: int, next_try_at: datetime, reason: str
    ) -> None:
        """Record that asking came to nothing, and when it is tried again."""
        self._set(transaction_uid, tries=tries, next_try_at=next_try_at, reason=reason)

    def ask_by_query(self, transaction_uid: str, reason: str) -> None:
        """Go on by a query: the destination does not do what it was asked for."""
        self._set(
            transaction_uid,
            method=ProofMethod.QUERY,
            asked_at=None,
            next_try_at=None,
            tries=0,
            reason=reason,
        )

    def prove(
        self,
        transaction_uid: str,
        sop_instance_uids: Collection[str],
        method: ProofMethod,
        now: datetime,
    ) -> int:
        """Record that the destination holds these; say of how many that is new."""
        with self._engine.begin() as connection:
            request = _known(connection, transaction_uid)
            if request is None:
                return 0
            proven = _prove(connection, request.destination, sop_instance_uids, method, now)
            _end_if_done(connection, transaction_uid, now)
        return proven

    def report(
        self,
        transaction_uid: str,
        committed: Collection[str],
        failed: Mapping[str, int],
        now: datetime,
    ) -> bool:
        """Record what an archive has reported of a transaction; False if it was never asked.

        A report may come twice, or late: what it commits to is proven all the same, and what
        it does not commit to counts only for the transaction that is still open.
        """
        with self._engine.begin() as connection:
            request = _known(connection, transaction_uid)
            if request is None:
                return False
            method = ProofMethod.STORAGE_COMMITMENT
            _prove(connection, request.destination, committed, method, now)
            for sop_instance_uid, reason in failed.items():
                why = f"the destination does not commit to it (0x{reason:04X})"
                only = deliveries.c.sop_instance_uid == sop_instance_uid
                _go_on(connection, transaction_uid, why, now, method, only)
            _end_if_done(connection, transaction_uid, now)
        return True

    def go_on(self, request: ProofRequest, reason: str, now: datetime) -> dict[Next, int]:
        """Draw the consequences for what of a request is unproven, and end it."""
        with self._engine.begin() as connection:
            came_to = _go_on(connection, request.transaction_uid, reason, now, request.method)
            _end_if_done(connection, request.transaction_uid, now)
        return came_to

    def raise_alarm(self, request: ProofRequest, reason: str, now: datetime) -> int:
        """Give up on what of a request is unproven; say on how many objects."""
        with self._engine.begin() as connection:
            count = connection.execute(
                update(deliveries)
                .where(_open(request.transaction_uid))
                .values(proof=Proof.ALARMED, proof_reason=reason, transaction_uid=None)
            ).rowcount
            _end_if_done(connection, request.transaction_uid, now)
        return count

    def counts(self) -> dict[tuple[str, str], int]:
        """How many objects there are by destination and proof."""
        statement = (
            select(deliveries.c.destination, deliveries.c.proof, func.count())
            .where(deliveries.c.proof.is_not(None), deliveries.c.state != DeliveryState.FAILED)
            .group_by(deliveries.c.destination, deliveries.c.proof)
        )
        with self._reader.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(statement)}

    def by_destination(self) -> dict[str, dict[Proof, int]]:
        """How many objects there are by proof, for each destination that was asked for any."""
        found: dict[str, dict[Proof, int]] = {}
        for (destination, proof), count in self.counts().items():
            of_it = found.setdefault(destination, dict.fromkeys(Proof, 0))
            of_it[Proof(proof)] = count
        return found

    def _request(self, connection: Connection, row: Row[Any]) -> ProofRequest:
        items = connection.execute(
            select(
                artifacts.c.sop_class_uid,
                deliveries.c.sop_instance_uid,
                artifacts.c.series_instance_uid,
                deliveries.c.proof_round,
            )
            .join(artifacts, artifacts.c.sop_instance_uid == deliveries.c.sop_instance_uid)
            .where(_open(row.transaction_uid))
            .order_by(deliveries.c.sop_instance_uid)
        )
        return ProofRequest(
            row.transaction_uid,
            row.destination,
            row.study_instance_uid,
            ProofMethod(row.method),
            row.made_at,
            row.asked_at,
            row.tries,
            tuple(ProofItem(*item) for item in items),
        )

    def _set(self, transaction_uid: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(proof_requests)
                .where(proof_requests.c.transaction_uid == transaction_uid)
                .values(**values)
            )


def _awaited(destination: str) -> ColumnElement[bool]:
    return and_(
        deliveries.c.destination == destination,
        deliveries.c.state == DeliveryState.DELIVERED,
        deliveries.c.proof == Proof.AWAITED,
    )


def _open(transaction_uid: str) -> ColumnElement[bool]:
    """What of a request is neither proven nor given up."""
    return and_(
        deliveries.c.transaction_uid == transaction_uid,
        deliveries.c.state == DeliveryState.DELIVERED,
        deliveries.c.proof == Proof.AWAITED,
    )


def _known(connection: Connection, transaction_uid: str) -> Row[Any] | None:
    return connection.execute(
        select(proof_requests).where(proof_requests.c.transaction_uid == transaction_uid)
    ).first()


def _prove(
    connection: Connection,
    destination: str,
    sop_instance_uids: Iterable[str],
    method: ProofMethod,
    now: datetime,
) -> int:
    proven = 0
    for sop_instance_uid in sop_instance_uids:
        proven += connection.execute(
            update(deliveries)
            .where(
                deliveries.c.sop_instance_uid == sop_instance_uid,
                deliveries.c.destination == destination,
                deliveries.c.state == DeliveryState.DELIVERED,
                deliveries.c.proof.in_((Proof.AWAITED, Proof.ALARMED)),
            )
            .values(proof=Proof.PROVEN, proven_by=method, proven_at=now, proof_reason="")
        ).rowcount
    return proven


def _go_on(
    connection: Connection,
    transaction_uid: str,
    reason: str,
    now: datetime,
    method: ProofMethod,
    *only: ColumnElement[bool],
) -> dict[Next, int]:
    """Take each unproven object of a request into its next round."""
    came_to: dict[Next, int] = {}
    rows: Sequence[Row[Any]] = connection.execute(
        select(deliveries).where(_open(transaction_uid), *only)
    ).all()
    for row in rows:
        what, values = next_round(row.proof_round, method, reason, now)
        came_to[what] = came_to.get(what, 0) + 1
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.sop_instance_uid == row.sop_instance_uid,
                deliveries.c.destination == row.destination,
            )
            .values(transaction_uid=None, proof_reason=reason, **values)
        )
        if what is Next.SENT_AGAIN:
            deliver_again(connection, row.study_instance_uid, row.revision)
    return came_to


def _end_if_done(connection: Connection, transaction_uid: str, now: datetime) -> None:
    connection.execute(
        update(proof_requests)
        .where(
            proof_requests.c.transaction_uid == transaction_uid,
            proof_requests.c.ended_at.is_(None),
            ~exists().where(_open(transaction_uid)),
        )
        .values(ended_at=now)
    )
