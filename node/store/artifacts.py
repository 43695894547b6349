"""Rows of written objects and of their deliveries, and what replaces what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select, update

from node.domain import Artifact, DeliveryState, ObjectForm
from node.store.database import artifacts, deliveries, insert_if_absent, reading


@dataclass(frozen=True)
class WrittenObject:
    """What the ledger knows of the making of an object.

    Parameters
    ----------
    form
        None: written before forms were kept.
    """

    revision: int
    run_key: str
    form: ObjectForm | None


@dataclass(frozen=True)
class FormThere:
    """One form of a result at one destination."""

    sop_instance_uid: str
    form: ObjectForm | None
    waits: bool


@dataclass(frozen=True)
class Replaced:
    """An object that another one takes the place of.

    Parameters
    ----------
    by
        SOP Instance UID of the other one; None: the result has nothing to say in its form.
    """

    sop_instance_uid: str
    by: str | None
    reason: str


class Replacements:
    """What was written instead of what a destination does not take.

    Parameters
    ----------
    engine
        From `open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)

    def written(self, sop_instance_uid: str) -> WrittenObject:
        """How an object of the ledger was made."""
        with self._reader.connect() as connection:
            row = connection.execute(
                select(artifacts.c.revision, artifacts.c.run_key, artifacts.c.form).where(
                    artifacts.c.sop_instance_uid == sop_instance_uid
                )
            ).one()
        return WrittenObject(row.revision, row.run_key, _form(row.form))

    def paths(self, run_key: str, revision: int) -> list[str]:
        """Where the objects are that a run has written in a revision."""
        statement = select(artifacts.c.path).where(
            artifacts.c.run_key == run_key, artifacts.c.revision == revision
        )
        with self._reader.connect() as connection:
            return list(connection.scalars(statement))

    def forms_at(self, destination: str, study_instance_uid: str, run_key: str) -> list[FormThere]:
        """The forms of one result that a destination has, or waits for."""
        statement = (
            select(deliveries.c.sop_instance_uid, artifacts.c.form, deliveries.c.state)
            .join(artifacts, artifacts.c.sop_instance_uid == deliveries.c.sop_instance_uid)
            .where(
                deliveries.c.destination == destination,
                deliveries.c.study_instance_uid == study_instance_uid,
                artifacts.c.run_key == run_key,
                deliveries.c.state.in_((DeliveryState.WAITING, DeliveryState.DELIVERED)),
            )
            .order_by(deliveries.c.sop_instance_uid)
        )
        with self._reader.connect() as connection:
            return [
                FormThere(row[0], _form(row[1]), row[2] == DeliveryState.WAITING)
                for row in connection.execute(statement)
            ]

    def record(
        self,
        replaced: Sequence[Replaced],
        destination: str,
        made: Sequence[Artifact],
        run_key: str,
        revision: int,
        now: datetime,
    ) -> None:
        """Put objects in the place of others at one destination, in one transaction.

        Parameters
        ----------
        revision
            That waits for the delivery.
        """
        with self._engine.begin() as connection:
            for one in replaced:
                connection.execute(
                    update(deliveries)
                    .where(
                        deliveries.c.sop_instance_uid == one.sop_instance_uid,
                        deliveries.c.destination == destination,
                        deliveries.c.state == DeliveryState.WAITING,
                    )
                    .values(
                        state=DeliveryState.REPLACED,
                        reason=one.reason,
                        replaced_by=one.by,
                        next_try_at=None,
                        updated_at=now,
                        proof=None,
                    )
                )
            insert_artifacts(connection, made, run_key, now, revision)


def insert_artifacts(
    connection: Connection,
    made: Sequence[Artifact],
    run_key: str,
    now: datetime,
    revision: int | None = None,
) -> None:
    """Insert written objects and their deliveries; what is there stays as it is.

    Parameters
    ----------
    revision
        That waits for the deliveries; None: the one that the objects are of.
    """
    for artifact in made:
        insert_if_absent(
            connection,
            artifacts,
            {
                "sop_instance_uid": artifact.sop_instance_uid,
                "sop_class_uid": artifact.sop_class_uid,
                "series_instance_uid": artifact.series_instance_uid,
                "study_instance_uid": artifact.study_instance_uid,
                "revision": artifact.revision,
                "kind": artifact.kind,
                "form": artifact.form,
                "model": artifact.model,
                "run_key": run_key,
                "path": artifact.path,
                "sha256": artifact.sha256,
                "created_at": now,
            },
        )
        for destination in artifact.destinations:
            insert_if_absent(
                connection,
                deliveries,
                {
                    "sop_instance_uid": artifact.sop_instance_uid,
                    "destination": destination,
                    "study_instance_uid": artifact.study_instance_uid,
                    "revision": artifact.revision if revision is None else revision,
                    "state": DeliveryState.WAITING,
                    "attempts": 0,
                    "reason": "",
                    "remark": artifact.remarks.get(destination, ""),
                    "created_at": now,
                    "updated_at": now,
                    "priority": artifact.priority,
                },
            )


def _form(value: str | None) -> ObjectForm | None:
    return ObjectForm(value) if value else None
