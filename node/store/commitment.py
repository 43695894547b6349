"""What peers have asked the node to commit to, and what it can commit to.

The node commits to an instance that the index has and whose file is there: it was synced
before its sender was told Success, and nothing but an administrator removes it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Engine, and_, or_, select, update

from node.dimse.commitment import FailureReason, Reference
from node.store.database import commitments, insert_if_absent, instances, reading

_AT_ONCE = 500


@dataclass(frozen=True)
class Asked:
    """A request for storage commitment that a peer waits for the answer to."""

    transaction_uid: str
    calling_ae_title: str
    instances: tuple[Reference, ...]
    received_at: datetime
    tries: int


@dataclass(frozen=True)
class Judgement:
    """What the node commits to of a request, and why not to the others."""

    committed: tuple[Reference, ...]
    failed: dict[Reference, int]


class Commitments:
    """What the node was asked to commit to.

    Parameters
    ----------
    engine
        From `open_database`.
    data_dir
        Where the paths of the index start.
    """

    def __init__(self, engine: Engine, data_dir: Path) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._data_dir = data_dir

    def record(
        self,
        transaction_uid: str,
        calling_ae_title: str,
        wanted: Sequence[Reference],
        now: datetime,
    ) -> None:
        """Keep a request until it is answered; one that is made again is answered again."""
        request = {
            "instances": wanted,
            "received_at": now,
            "next_try_at": None,
            "tries": 0,
            "reported_at": None,
            "given_up": 0,
        }
        key = {"transaction_uid": transaction_uid, "calling_ae_title": calling_ae_title}
        with self._engine.begin() as connection:
            if not insert_if_absent(connection, commitments, {**key, **request}):
                connection.execute(update(commitments).where(_is(*key.values())).values(**request))

    def wanted(self, transaction_uid: str, calling_ae_title: str) -> list[Reference]:
        """What a peer has asked for under a Transaction UID."""
        asked = select(commitments.c.instances).where(_is(transaction_uid, calling_ae_title))
        with self._reader.connect() as connection:
            return [(one[0], one[1]) for one in connection.scalar(asked) or ()]

    def unreported(
        self, calling_ae_titles: Collection[str], now: datetime, limit: int = 20
    ) -> list[Asked]:
        """Requests of these peers that are to be answered now, the oldest first."""
        table = commitments.c
        statement = (
            select(commitments)
            .where(
                table.calling_ae_title.in_(calling_ae_titles),
                table.reported_at.is_(None),
                table.given_up == 0,
                or_(table.next_try_at.is_(None), table.next_try_at <= now),
            )
            .order_by(table.received_at)
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [
                Asked(
                    row.transaction_uid,
                    row.calling_ae_title,
                    tuple((one[0], one[1]) for one in row.instances),
                    row.received_at,
                    row.tries,
                )
                for row in connection.execute(statement)
            ]

    def note_reported(self, transaction_uid: str, calling_ae_title: str, now: datetime) -> None:
        """Record that the peer was told."""
        self._set(transaction_uid, calling_ae_title, reported_at=now)

    def note_try(
        self, transaction_uid: str, calling_ae_title: str, tries: int, next_try_at: datetime | None
    ) -> None:
        """Record that the peer could not be told; `next_try_at` None: and will not be."""
        given_up = int(next_try_at is None)
        self._set(
            transaction_uid,
            calling_ae_title,
            tries=tries,
            next_try_at=next_try_at,
            given_up=given_up,
        )

    def judge(self, wanted: Sequence[Reference]) -> Judgement:
        """Say which instances are kept here, whatever became of them otherwise."""
        kept: dict[str, tuple[str, str]] = {}
        uids = sorted({uid for _, uid in wanted})
        with self._reader.connect() as connection:
            for start in range(0, len(uids), _AT_ONCE):
                rows = connection.execute(
                    select(
                        instances.c.sop_instance_uid, instances.c.sop_class_uid, instances.c.path
                    ).where(instances.c.sop_instance_uid.in_(uids[start : start + _AT_ONCE]))
                )
                kept.update({row.sop_instance_uid: (row.sop_class_uid, row.path) for row in rows})
        committed, failed = [], {}
        for one in wanted:
            sop_class_uid, path = kept.get(one[1], ("", ""))
            if not path or not (self._data_dir / path).is_file():
                failed[one] = int(FailureReason.NO_SUCH_OBJECT_INSTANCE)
            elif sop_class_uid != one[0]:
                failed[one] = int(FailureReason.CLASS_INSTANCE_CONFLICT)
            else:
                committed.append(one)
        return Judgement(tuple(committed), failed)

    def _set(self, transaction_uid: str, calling_ae_title: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(commitments).where(_is(transaction_uid, calling_ae_title)).values(**values)
            )


def _is(transaction_uid: str, calling_ae_title: str) -> ColumnElement[bool]:
    return and_(
        commitments.c.transaction_uid == transaction_uid,
        commitments.c.calling_ae_title == calling_ae_title,
    )
