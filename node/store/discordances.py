"""Comparisons of reports with models, and the contradictions somebody has to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, delete, func, or_, select, update

from node.domain import digest_of
from node.reports import DiscordanceState, Verdict
from node.store.database import reading
from node.store.report_tables import comparisons, discordances

IS_DISCORDANT = ("report only", "model only")
_KEY = ("model", "concept", "laterality")


@dataclass(frozen=True)
class ComparisonRow:
    """One finding, both sides, and what they come to; see `node.plan.agreement.Comparison`."""

    model: str
    concept: str
    laterality: str
    outcome: str
    reported: str
    modelled: str
    value: float | None
    measure: str
    report_key: str
    report_revision: int
    run_key: str


@dataclass(frozen=True)
class DiscordanceRow:
    """One contradiction.

    Parameters
    ----------
    reason
        Why it was resolved; empty while it is open.
    verdict
        Of a reviewer; empty without one.
    """

    id: str
    study_instance_uid: str
    model: str
    concept: str
    laterality: str
    outcome: str
    reported: str
    value: float | None
    measure: str
    report_key: str
    report_revision: int
    run_key: str
    state: DiscordanceState
    reason: str
    verdict: str
    opened_at: datetime
    ended_at: datetime | None
    notified_at: datetime | None
    notify_tries: int
    next_notify_at: datetime | None


class Discordances:
    """What was compared, and what contradicts.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def record(
        self, study_instance_uid: str, found: Sequence[ComparisonRow], now: datetime
    ) -> tuple[int, int]:
        """Replace a study's comparisons; open what is new, resolve what is gone. Repeatable.

        Returns
        -------
        opened, resolved
            How many discordances.
        """
        with self._engine.begin() as connection:
            _replace_comparisons(connection, study_instance_uid, found, now)
            rows = _rows(connection, discordances.c.study_instance_uid == study_instance_uid)
            there = {(row.model, row.concept, row.laterality): row for row in rows}
            opened = 0
            for one in found:
                row = there.pop((one.model, one.concept, one.laterality), None)
                if one.outcome in IS_DISCORDANT:
                    opened += _open(connection, study_instance_uid, one, row, now)
                elif row is not None:
                    there[(one.model, one.concept, one.laterality)] = row
            resolved = 0
            for row in there.values():
                resolved += _resolve(connection, row, now)
        return opened, resolved

    def comparisons(self, study_instance_uid: str) -> list[ComparisonRow]:
        """Everything that was compared in a study."""
        statement = (
            select(*(comparisons.c[name] for name in ComparisonRow.__dataclass_fields__))
            .where(comparisons.c.study_instance_uid == study_instance_uid)
            .order_by(*(comparisons.c[name] for name in _KEY))
        )
        with self._reader.connect() as connection:
            return [ComparisonRow(**row._mapping) for row in connection.execute(statement)]

    def newest(
        self, state: DiscordanceState | None = DiscordanceState.OPEN, limit: int = 100
    ) -> list[DiscordanceRow]:
        """Discordances in a state, or in any; the newest first."""
        where = [] if state is None else [discordances.c.state == state]
        with self._reader.connect() as connection:
            return _rows(connection, *where, limit=limit)

    def of_study(self, study_instance_uid: str) -> list[DiscordanceRow]:
        """All discordances of a study, whatever became of them."""
        with self._reader.connect() as connection:
            return _rows(connection, discordances.c.study_instance_uid == study_instance_uid)

    def find(self, beginning: str) -> list[DiscordanceRow]:
        """Discordances whose id begins so."""
        with self._reader.connect() as connection:
            where = discordances.c.id.startswith(beginning, autoescape=True)
            return _rows(connection, where, limit=2)

    def close(self, discordance_id: str, verdict: Verdict, now: datetime) -> bool:
        """Record a reviewer's verdict; False if it is not open."""
        with self._engine.begin() as connection:
            closed = connection.execute(
                update(discordances)
                .where(
                    discordances.c.id == discordance_id,
                    discordances.c.state == DiscordanceState.OPEN,
                )
                .values(state=DiscordanceState.CLOSED, verdict=verdict, ended_at=now)
            )
        return closed.rowcount == 1

    def counts(self) -> dict[tuple[str, str], int]:
        """How many discordances there are by model and state."""
        statement = select(discordances.c.model, discordances.c.state, func.count()).group_by(
            discordances.c.model, discordances.c.state
        )
        with self._reader.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(statement)}

    def outcomes(self) -> dict[tuple[str, str], int]:
        """How many comparisons there are by model and outcome."""
        statement = select(comparisons.c.model, comparisons.c.outcome, func.count()).group_by(
            comparisons.c.model, comparisons.c.outcome
        )
        with self._reader.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(statement)}

    def history(self, limit: int) -> Mapping[str, list[bool]]:
        """For each model whether each of its comparable studies is discordant, newest first."""
        models = select(comparisons.c.model).distinct()
        is_discordant = case((comparisons.c.outcome.in_(IS_DISCORDANT), 1), else_=0)
        found: dict[str, list[bool]] = {}
        with self._reader.connect() as connection:
            for model in connection.scalars(models).all():
                statement = (
                    select(func.max(is_discordant), func.max(comparisons.c.compared_at))
                    .where(comparisons.c.model == model, comparisons.c.outcome != "not comparable")
                    .group_by(comparisons.c.study_instance_uid)
                    .order_by(func.max(comparisons.c.compared_at).desc())
                    .limit(limit)
                )
                found[model] = [bool(row[0]) for row in connection.execute(statement)]
        return found

    def to_notify(self, now: datetime, limit: int) -> list[DiscordanceRow]:
        """Open discordances that nobody was told of yet, and of which somebody may be told now."""
        with self._reader.connect() as connection:
            return _rows(
                connection,
                discordances.c.state == DiscordanceState.OPEN,
                discordances.c.notified_at.is_(None),
                or_(
                    discordances.c.next_notify_at.is_(None),
                    discordances.c.next_notify_at <= now,
                ),
                limit=limit,
            )

    def note_notified(self, row: DiscordanceRow, now: datetime) -> None:
        """Record that somebody was told, or that it was given up."""
        self._set(row, notified_at=now)

    def note_not_notified(self, row: DiscordanceRow, next_try_at: datetime) -> None:
        """Record a try that failed."""
        self._set(row, notify_tries=row.notify_tries + 1, next_notify_at=next_try_at)

    def _set(self, row: DiscordanceRow, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(discordances).where(discordances.c.id == row.id).values(**values)
            )


def _replace_comparisons(
    connection: Connection, study: str, found: Sequence[ComparisonRow], now: datetime
) -> None:
    """Replace a study's comparisons; one that says the same as before keeps its time."""
    own = comparisons.c.study_instance_uid == study
    since = {
        (row.model, row.concept, row.laterality, row.outcome): row.compared_at
        for row in connection.execute(select(comparisons).where(own))
    }
    connection.execute(delete(comparisons).where(own))
    for one in found:
        at = since.get((one.model, one.concept, one.laterality, one.outcome), now)
        connection.execute(
            comparisons.insert().values(study_instance_uid=study, compared_at=at, **vars(one))
        )


def _open(
    connection: Connection,
    study: str,
    one: ComparisonRow,
    row: DiscordanceRow | None,
    now: datetime,
) -> int:
    """Open a discordance, or bring an open one up to date; a verdict stays while both sides do."""
    values = {name: value for name, value in vars(one).items() if name != "modelled"}
    if row is None:
        values |= {
            "id": digest_of(study, one.model, one.concept, one.laterality)[:16],
            "study_instance_uid": study,
            "state": DiscordanceState.OPEN,
            "reason": "",
            "verdict": "",
            "opened_at": now,
            "notify_tries": 0,
        }
        connection.execute(discordances.insert().values(**values))
        return 1
    # A later revision that says the same is the same contradiction: a verdict on it stays.
    again = row.state is DiscordanceState.RESOLVED or (
        row.state is DiscordanceState.CLOSED and row.outcome != one.outcome
    )
    if again:
        values |= {
            "state": DiscordanceState.OPEN,
            "reason": "",
            "verdict": "",
            "opened_at": now,
            "ended_at": None,
            "notified_at": None,
            "notify_tries": 0,
            "next_notify_at": None,
        }
    connection.execute(update(discordances).where(discordances.c.id == row.id).values(**values))
    return int(again)


def _resolve(connection: Connection, row: DiscordanceRow, now: datetime) -> int:
    if row.state is not DiscordanceState.OPEN:
        return 0
    connection.execute(
        update(discordances)
        .where(discordances.c.id == row.id)
        .values(
            state=DiscordanceState.RESOLVED,
            reason="a later report or a later result no longer contradicts",
            ended_at=now,
        )
    )
    return 1


def _rows(connection: Connection, *where: Any, limit: int | None = None) -> list[DiscordanceRow]:
    statement = (
        select(discordances)
        .where(*where)
        .order_by(discordances.c.opened_at.desc(), discordances.c.id)
        .limit(limit)
    )
    return [
        DiscordanceRow(**{**row._mapping, "state": DiscordanceState(row.state)})
        for row in connection.execute(statement)
    ]
