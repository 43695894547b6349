"""The index of what was received: instances, studies and their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, and_, func, select, update

from node.domain import ENDED, Instance, Plan, PlannedRun, Standing, StudyState
from node.store.arrivals import record
from node.store.database import (
    insert_if_absent,
    instances,
    reading,
    returned,
    revisions,
    studies,
)
from node.store.standing import Arrival, DuplicateUid, Receipt, Verdict


@dataclass(frozen=True)
class StudyRow:
    """A study as `studies list` shows it."""

    study_instance_uid: str
    state: StudyState
    revision: int
    first_received_at: datetime
    last_received_at: datetime
    reason: str
    instances: int
    series: int


@dataclass(frozen=True)
class RevisionRow:
    """One revision of a study: when and why it was complete, and how it ended."""

    study_instance_uid: str
    revision: int
    complete_at: datetime
    complete_reason: str
    state: StudyState
    reason: str
    plan: Plan | None
    finished_at: datetime | None


class Index:
    """What was received, and the revisions that follow from it.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def record_instances(
        self, batch: Sequence[Arrival], duplicate_uid: DuplicateUid = "last"
    ) -> list[Verdict]:
        """Record stored instances in one transaction, all or none; say what each of them was.

        A study with a new instance that is used goes back to *receiving*.

        Parameters
        ----------
        duplicate_uid
            What counts when other bytes come under UIDs that are there.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database fails, or one row cannot be written.
        """
        return record(self._engine, batch, duplicate_uid)

    def record_instance(self, instance: Instance) -> Receipt:
        """Record one stored instance of a patient that nobody has named."""
        return self.record_instances([Arrival(instance)])[0].receipt

    def quiet_studies(self, now: datetime, quiet_period_s: float) -> list[StudyRow]:
        """Studies that receive, but have been quiet for the quiet period, oldest first."""
        limit = now - timedelta(seconds=quiet_period_s)
        return self._studies(
            studies.c.state == StudyState.RECEIVING, studies.c.last_received_at <= limit
        )

    def receiving_since(self) -> tuple[datetime, datetime] | None:
        """When the studies that receive got their last instance: the earliest and the latest."""
        last = studies.c.last_received_at
        with self._reader.connect() as connection:
            earliest, latest = connection.execute(
                select(func.min(last), func.max(last)).where(
                    studies.c.state == StudyState.RECEIVING
                )
            ).one()
        return None if earliest is None else (earliest, latest)

    def complete_study(self, study: StudyRow, now: datetime, reason: str) -> int | None:
        """Close the study's next revision, unless an instance has come since `study` was read.

        Returns
        -------
        int or None
            The new revision, or None if the study is no longer as `study` says.
        """
        revision = study.revision + 1
        with self._engine.begin() as connection:
            closed = connection.execute(
                update(studies)
                .where(
                    studies.c.study_instance_uid == study.study_instance_uid,
                    studies.c.state == StudyState.RECEIVING,
                    studies.c.revision == study.revision,
                    studies.c.last_received_at == study.last_received_at,
                )
                .values(state=StudyState.QUEUED, revision=revision)
            )
            if closed.rowcount != 1:
                return None
            insert_if_absent(
                connection,
                revisions,
                {
                    "study_instance_uid": study.study_instance_uid,
                    "revision": revision,
                    "complete_at": now,
                    "complete_reason": reason,
                    "state": StudyState.QUEUED,
                    "reason": "",
                },
            )
        return revision

    def reopen(self, study_instance_uid: str) -> bool:
        """Let an ended study be planned anew as its next revision; False if it has not ended."""
        with self._engine.begin() as connection:
            reopened = connection.execute(
                update(studies)
                .where(
                    studies.c.study_instance_uid == study_instance_uid,
                    studies.c.state.in_(ENDED),
                )
                .values(state=StudyState.RECEIVING, reason="")
            )
        return reopened.rowcount == 1

    def store_plan(self, plan: Plan) -> Plan:
        """Freeze a revision's plan; if it has one already, that one holds and is returned."""
        where = and_(
            revisions.c.study_instance_uid == plan.study_instance_uid,
            revisions.c.revision == plan.revision,
        )
        with self._engine.begin() as connection:
            stored = connection.scalar(select(revisions.c.plan).where(where).with_for_update())
            if stored is not None:
                return _plan(stored)
            connection.execute(update(revisions).where(where).values(plan=asdict(plan)))
        return plan

    def set_state(
        self,
        study_instance_uid: str,
        revision: int,
        state: StudyState,
        reason: str,
        now: datetime | None = None,
    ) -> None:
        """Set a revision's state, and the study's unless it has moved on to another revision.

        `now` is given when the revision has reached its end.
        """
        with self._engine.begin() as connection:
            connection.execute(
                update(revisions)
                .where(
                    revisions.c.study_instance_uid == study_instance_uid,
                    revisions.c.revision == revision,
                )
                .values(state=state, reason=reason, finished_at=now)
            )
            connection.execute(
                update(studies)
                .where(
                    studies.c.study_instance_uid == study_instance_uid,
                    studies.c.revision == revision,
                    studies.c.state != StudyState.RECEIVING,
                )
                .values(state=state, reason=reason)
            )

    def revision(self, study_instance_uid: str, revision: int) -> RevisionRow | None:
        """Read one revision."""
        rows = self._revisions(
            revisions.c.study_instance_uid == study_instance_uid, revisions.c.revision == revision
        )
        return rows[0] if rows else None

    def revisions(self, study_instance_uid: str) -> list[RevisionRow]:
        """Read all revisions of a study, first one first."""
        return self._revisions(revisions.c.study_instance_uid == study_instance_uid)

    def queued_revisions(self) -> list[RevisionRow]:
        """Revisions that were completed but have not left the queue."""
        return self._revisions(revisions.c.state == StudyState.QUEUED)

    def study_instances(self, study_instance_uid: str) -> list[Instance]:
        """Every kept version of a study's instances, in order of arrival."""
        with self._reader.connect() as connection:
            rows = connection.execute(
                select(instances)
                .where(instances.c.study_instance_uid == study_instance_uid)
                .order_by(instances.c.id)
            ).all()
        return [_instance(dict(row._mapping)) for row in rows]

    def list_studies(self, limit: int = 50) -> list[StudyRow]:
        """The studies that received something last, newest first."""
        return self._studies(newest_first=True, limit=limit)

    def study(self, study_instance_uid: str) -> StudyRow | None:
        """Read one study."""
        rows = self._studies(studies.c.study_instance_uid == study_instance_uid)
        return rows[0] if rows else None

    def returned_count(self, study_instance_uid: str) -> int:
        """How many of a study's own results have come back from a PACS."""
        with self._reader.connect() as connection:
            return (
                connection.scalar(
                    select(func.count())
                    .select_from(returned)
                    .where(returned.c.study_instance_uid == study_instance_uid)
                )
                or 0
            )

    def counts_by_state(self) -> dict[str, int]:
        """How many studies there are in each state."""
        with self._reader.connect() as connection:
            rows = connection.execute(
                select(studies.c.state, func.count()).group_by(studies.c.state)
            ).all()
        return {state: count for state, count in rows}

    def _studies(
        self, *where: Any, newest_first: bool = False, limit: int | None = None
    ) -> list[StudyRow]:
        # Counted for the studies asked for: the completion scan must not read the whole table.
        own = instances.c.study_instance_uid == studies.c.study_instance_uid
        series = func.count(instances.c.series_instance_uid.distinct())
        order = studies.c.last_received_at
        statement = (
            select(
                *(column for column in studies.c if column.name != "patient"),
                select(func.count(instances.c.id)).where(own).scalar_subquery().label("instances"),
                select(series).where(own).scalar_subquery().label("series"),
            )
            .where(*where)
            .order_by(order.desc() if newest_first else order)
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [
                StudyRow(**{**row._mapping, "state": StudyState(row.state)})
                for row in connection.execute(statement)
            ]

    def _revisions(self, *where: Any) -> list[RevisionRow]:
        statement = select(revisions).where(*where).order_by(revisions.c.revision)
        with self._reader.connect() as connection:
            return [_revision(row) for row in connection.execute(statement)]


def _instance(values: dict[str, Any]) -> Instance:
    del values["id"]
    return Instance(**{**values, "standing": Standing(values["standing"])})


def _revision(row: Row[Any]) -> RevisionRow:
    values = dict(row._mapping)
    plan = values["plan"]
    return RevisionRow(
        **{
            **values,
            "state": StudyState(values["state"]),
            "plan": None if plan is None else _plan(plan),
        }
    )


def _plan(stored: dict[str, Any]) -> Plan:
    return Plan(
        **{
            **stored,
            "runs": tuple(_run(run) for run in stored["runs"]),
            "not_run": tuple(stored["not_run"]),
        }
    )


def _run(stored: dict[str, Sequence[str] | str]) -> PlannedRun:
    return PlannedRun(
        **{key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}  # type: ignore[arg-type]
    )
