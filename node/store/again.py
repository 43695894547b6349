"""Objects of an ended revision that are sent once more."""

from __future__ import annotations

from sqlalchemy import Connection, update

from node.domain import StudyState
from node.store.database import revisions, studies


def deliver_again(connection: Connection, study_instance_uid: str, revision: int) -> None:
    """Take an ended revision, and its study if it is the latest, back to delivering."""
    ended = connection.execute(
        update(revisions)
        .where(
            revisions.c.study_instance_uid == study_instance_uid,
            revisions.c.revision == revision,
            revisions.c.finished_at.is_not(None),
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
