"""The ledger of what was made and delivered: steps, artifacts and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, and_, delete, func, select, update

from node.domain import Artifact, DeliveryState, Outcome, Proof
from node.store.artifacts import Replacements, insert_artifacts
from node.store.database import (
    artifacts,
    deliveries,
    executors,
    insert_if_absent,
    reading,
    steps,
)
from node.store.delivery import (
    SENDING_ORDER,
    UNPROVEN,
    DeliveryRow,
    delivery_row,
    select_deliveries,
)
from node.store.outbox import OutboxRows
from node.store.proof import ProofRows


@dataclass(frozen=True)
class StepRow:
    """One finished step of a revision; `problem` is empty where it succeeded."""

    step: str
    subject: str
    seconds: float
    finished_at: datetime
    problem: str


@dataclass(frozen=True)
class MadeRow:
    """One written object, and the run (`PlannedRun.key`) that it is of."""

    run_key: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


class Ledger:
    """What the node has made of each revision, and where it went.

    Parameters
    ----------
    engine
        From `open_database`.

    Attributes
    ----------
    outbox
        What of it still waits for a destination.
    proofs
        What each destination has proven to hold.
    replacements
        What was written instead of what a destination does not take.
    """

    def __init__(self, engine: Engine) -> None:
        self.outbox = OutboxRows(engine)
        self.proofs = ProofRows(engine)
        self.replacements = Replacements(engine)
        self._engine = engine
        self._reader = reading(engine)

    def record_step(
        self,
        study_instance_uid: str,
        revision: int,
        row: StepRow,
    ) -> None:
        """Record a finished step; a repeated step replaces its earlier row."""
        key = and_(
            steps.c.study_instance_uid == study_instance_uid,
            steps.c.revision == revision,
            steps.c.step == row.step,
            steps.c.subject == row.subject,
        )
        values = {
            "seconds": row.seconds,
            "finished_at": row.finished_at,
            "problem": row.problem,
        }
        with self._engine.begin() as connection:
            if connection.execute(update(steps).where(key).values(**values)).rowcount == 0:
                connection.execute(
                    steps.insert().values(
                        study_instance_uid=study_instance_uid,
                        revision=revision,
                        step=row.step,
                        subject=row.subject,
                        **values,
                    )
                )

    def steps(self, study_instance_uid: str, revision: int) -> list[StepRow]:
        """All finished steps of a revision, in order."""
        statement = (
            select(
                steps.c.step, steps.c.subject, steps.c.seconds, steps.c.finished_at, steps.c.problem
            )
            .where(steps.c.study_instance_uid == study_instance_uid, steps.c.revision == revision)
            .order_by(steps.c.finished_at)
        )
        with self._reader.connect() as connection:
            return [StepRow(**row._mapping) for row in connection.execute(statement)]

    def record_artifacts(self, made: Sequence[Artifact], run_key: str, now: datetime) -> None:
        """Record written objects with their deliveries in one transaction; repeats are harmless."""
        with self._engine.begin() as connection:
            insert_artifacts(connection, made, run_key, now)

    def artifacts(self, study_instance_uid: str, revision: int) -> int:
        """How many objects a revision has written."""
        with self._reader.connect() as connection:
            return (
                connection.scalar(
                    select(func.count())
                    .select_from(artifacts)
                    .where(
                        artifacts.c.study_instance_uid == study_instance_uid,
                        artifacts.c.revision == revision,
                    )
                )
                or 0
            )

    def made(self, study_instance_uid: str) -> list[MadeRow]:
        """Every object that was written of a study, in the order of writing."""
        statement = (
            select(
                artifacts.c.run_key,
                artifacts.c.sop_class_uid,
                artifacts.c.sop_instance_uid,
                artifacts.c.series_instance_uid,
            )
            .where(artifacts.c.study_instance_uid == study_instance_uid)
            .order_by(artifacts.c.created_at, artifacts.c.sop_instance_uid)
        )
        with self._reader.connect() as connection:
            return [MadeRow(**row._mapping) for row in connection.execute(statement)]

    def is_own_result(self, sop_instance_uid: str) -> bool:
        """Whether the node itself wrote this object."""
        with self._reader.connect() as connection:
            return (
                connection.scalar(
                    select(artifacts.c.revision).where(
                        artifacts.c.sop_instance_uid == sop_instance_uid
                    )
                )
                is not None
            )

    def objects_of_series(self, study_instance_uid: str, series_instance_uid: str) -> list[str]:
        """SOP Instance UIDs of what was written into a series, in the order it was recorded."""
        statement = (
            select(artifacts.c.sop_instance_uid)
            .where(
                artifacts.c.study_instance_uid == study_instance_uid,
                artifacts.c.series_instance_uid == series_instance_uid,
            )
            .order_by(artifacts.c.created_at, artifacts.c.sop_instance_uid)
        )
        with self._reader.connect() as connection:
            return list(connection.scalars(statement))

    def revision_that_made(self, study_instance_uid: str, run_key: str) -> int | None:
        """The revision in which a run with these inputs and this model wrote its objects."""
        with self._reader.connect() as connection:
            found: int | None = connection.scalar(
                select(func.min(artifacts.c.revision)).where(
                    artifacts.c.study_instance_uid == study_instance_uid,
                    artifacts.c.run_key == run_key,
                )
            )
        return found

    def retry_failed(
        self, study_instance_uid: str, run_key: str, revision: int, now: datetime
    ) -> list[DeliveryRow]:
        """Let a later revision send again what an earlier one could not deliver of a run.

        Returns
        -------
        list of DeliveryRow
            What waits in `revision` then, also if an earlier call has put it there.
        """
        made = select(artifacts.c.sop_instance_uid).where(
            artifacts.c.study_instance_uid == study_instance_uid, artifacts.c.run_key == run_key
        )
        with self._engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.sop_instance_uid.in_(made),
                    deliveries.c.state == DeliveryState.FAILED,
                )
                .values(
                    state=DeliveryState.WAITING,
                    revision=revision,
                    created_at=now,
                    updated_at=now,
                    next_try_at=None,
                    **UNPROVEN,
                )
            )
            moved = set(connection.scalars(made))
        waiting = self.deliveries(study_instance_uid, revision, state=DeliveryState.WAITING)
        return [row for row in waiting if row.sop_instance_uid in moved]

    def deliveries(
        self,
        study_instance_uid: str,
        revision: int,
        *,
        destination: str | None = None,
        state: DeliveryState | None = None,
    ) -> list[DeliveryRow]:
        """Deliveries of a revision, by destination in the order of sending."""
        where = [
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.revision == revision,
        ]
        if destination is not None:
            where.append(deliveries.c.destination == destination)
        if state is not None:
            where.append(deliveries.c.state == state)
        order = (deliveries.c.destination, *SENDING_ORDER)
        with self._reader.connect() as connection:
            found = connection.execute(select_deliveries().where(*where).order_by(*order))
            return [delivery_row(row) for row in found]

    def find_deliveries(
        self,
        *,
        study_instance_uid: str | None = None,
        destination: str | None = None,
        state: DeliveryState | None = None,
        proof: Proof | None = None,
        limit: int,
    ) -> list[DeliveryRow]:
        """Deliveries of all studies that are as asked, the last change first."""
        wanted = {
            deliveries.c.study_instance_uid: study_instance_uid,
            deliveries.c.destination: destination,
            deliveries.c.state: state,
            deliveries.c.proof: proof,
        }
        where = [column == value for column, value in wanted.items() if value is not None]
        last_change = func.coalesce(deliveries.c.proven_at, deliveries.c.updated_at)
        statement = (
            select_deliveries()
            .where(*where)
            .order_by(last_change.desc(), deliveries.c.sop_instance_uid)
            .limit(limit)
        )
        with self._reader.connect() as connection:
            return [delivery_row(row) for row in connection.execute(statement)]

    def record_outcome(
        self,
        sop_instance_uid: str,
        destination: str,
        outcome: Outcome,
        now: datetime,
        next_try_at: datetime | None = None,
        *,
        prove: bool = False,
    ) -> None:
        """Record one try; an object that is already delivered stays delivered.

        Parameters
        ----------
        next_try_at
            Of an object that waits: not before then.
        prove
            Whether the destination is to prove that it holds what it has taken.
        """
        delivered = outcome.state is DeliveryState.DELIVERED
        proof = {"sent_at": now, "proof": Proof.AWAITED if prove else None} if delivered else {}
        with self._engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.sop_instance_uid == sop_instance_uid,
                    deliveries.c.destination == destination,
                    deliveries.c.state != DeliveryState.DELIVERED,
                )
                .values(
                    state=outcome.state,
                    status=outcome.status,
                    reason=outcome.reason,
                    attempts=deliveries.c.attempts + 1,
                    updated_at=now,
                    next_try_at=next_try_at,
                    **proof,
                )
            )

    def delivery_counts(self) -> dict[tuple[str, str], int]:
        """How many objects there are by destination and state."""
        statement = select(deliveries.c.destination, deliveries.c.state, func.count()).group_by(
            deliveries.c.destination, deliveries.c.state
        )
        with self._reader.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(statement)}

    def beat(self, executor_id: str, now: datetime) -> None:
        """Record that a work process lives."""
        with self._engine.begin() as connection:
            if not insert_if_absent(
                connection, executors, {"executor_id": executor_id, "heartbeat_at": now}
            ):
                connection.execute(
                    update(executors)
                    .where(executors.c.executor_id == executor_id)
                    .values(heartbeat_at=now)
                )

    def heartbeats(self) -> dict[str, datetime]:
        """When each work process has last said that it lives, by its own clock."""
        with self._reader.connect() as connection:
            return {
                executor_id: heartbeat_at
                for executor_id, heartbeat_at in connection.execute(select(executors))
            }

    def forget_executor(self, executor_id: str) -> None:
        """Remove a dead work process whose work was taken over."""
        with self._engine.begin() as connection:
            connection.execute(delete(executors).where(executors.c.executor_id == executor_id))
