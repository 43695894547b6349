"""Objects of an ended revision that are sent once more."""

from __future__ import annotations

from sqlalchemy import Connection, exists, update

from node.domain import DeliveryState, ResultKind, StudyState
from node.store.database import artifacts, deliveries, revisions, studies


def deliver_again(connection: Connection, study_instance_uid: str, revision: int) -> None:
    """Take an ended revision, and its study if it is the latest, back to delivering.

    One of which no result waits has ended, and stays so: its status alone is sent again.
    """
    results_wait = (
        exists()
        .where(
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.revision == revision,
            deliveries.c.state == DeliveryState.WAITING,
            artifacts.c.kind != ResultKind.STATUS,
        )
        .where(artifacts.c.sop_instance_uid == deliveries.c.sop_instance_uid)
    )
    ended = connection.execute(
        update(revisions)
        .where(
            revisions.c.study_instance_uid == study_instance_uid,
            revisions.c.revision == revision,
            revisions.c.finished_at.is_not(None),
            results_wait,
        )
        .values(state=StudyState.DELIVERING, reason="", finished_at=None)
    ).rowcount
    if ended:
        connection.execute(
            update(studies)
            .where(
                studies.c.study_instance_uid == study_instance_uid,
                studies.c.revision == revision,
                studies.c.state != StudyState.RECEIVING,
            )
            .values(state=StudyState.DELIVERING, reason="")
        )
