"""One object at one destination, as the database keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, case, select

from node.domain import DeliveryState, ResultKind
from node.store.database import artifacts, deliveries


@dataclass(frozen=True)
class DeliveryRow:
    """One object at one destination.

    Parameters
    ----------
    attempts
        C-STORE operations so far; while the destination is away none is tried.
    created_at
        When it began to wait; `retry.give_up_after_h` counts from here.
    next_try_at
        Not before then: the destination has refused this object, or broken off at it. None:
        as soon as the destination takes anything.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    revision: int
    kind: ResultKind
    model: str
    path: str
    destination: str
    state: DeliveryState
    attempts: int
    status: int | None
    reason: str
    created_at: datetime
    updated_at: datetime
    priority: int
    next_try_at: datetime | None


SENDING_ORDER = (
    deliveries.c.priority.desc(),
    deliveries.c.created_at,
    deliveries.c.study_instance_uid,
    artifacts.c.model,
    # SEG, SR, SC, so that references resolve.
    case({kind.value: number for number, kind in enumerate(ResultKind)}, value=artifacts.c.kind),
    deliveries.c.sop_instance_uid,
)
"""In which order what waits for a destination is sent."""


def select_deliveries() -> Select[Any]:
    """Columns of `DeliveryRow`; the caller says which rows."""
    return select(
        deliveries.c.sop_instance_uid,
        artifacts.c.sop_class_uid,
        deliveries.c.study_instance_uid,
        deliveries.c.revision,
        artifacts.c.kind,
        artifacts.c.model,
        artifacts.c.path,
        deliveries.c.destination,
        deliveries.c.state,
        deliveries.c.attempts,
        deliveries.c.status,
        deliveries.c.reason,
        deliveries.c.created_at,
        deliveries.c.updated_at,
        deliveries.c.priority,
        deliveries.c.next_try_at,
    ).join(artifacts, artifacts.c.sop_instance_uid == deliveries.c.sop_instance_uid)


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """Make one of what `select_deliveries` found."""
    values = dict(row._mapping)
    values["kind"] = ResultKind(values["kind"])
    values["state"] = DeliveryState(values["state"])
    return DeliveryRow(**values)
