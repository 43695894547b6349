"""One object at one destination, as the database keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, case, select

from node.domain import DeliveryState, Proof, ResultKind
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
    sent_at
        When the destination last said that it has stored it.
    proof
        None: not asked for.
    proof_reason
        Why it was sent again, or the alarm was raised.
    proven_by, proven_at
        How and when the destination has proven that it holds it.
    replaced_by
        SOP Instance UID of the object that was sent instead; None: it was not replaced.
    remark
        What it is sent instead of, and why; empty where it is what the profile wants first.
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
    sent_at: datetime | None
    proof: Proof | None
    proof_reason: str
    proven_by: str
    proven_at: datetime | None
    replaced_by: str | None
    remark: str


UNPROVEN: Mapping[str, Any] = {
    "proof": None,
    "proof_round": 0,
    "proof_reason": "",
    "proven_by": "",
    "proven_at": None,
    "transaction_uid": None,
}
"""Of a delivery that begins anew."""

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
        deliveries.c.sent_at,
        deliveries.c.proof,
        deliveries.c.proof_reason,
        deliveries.c.proven_by,
        deliveries.c.proven_at,
        deliveries.c.replaced_by,
        deliveries.c.remark,
    ).join(artifacts, artifacts.c.sop_instance_uid == deliveries.c.sop_instance_uid)


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """Make one of what `select_deliveries` found."""
    values = dict(row._mapping)
    values["kind"] = ResultKind(values["kind"])
    values["state"] = DeliveryState(values["state"])
    values["proof"] = None if values["proof"] is None else Proof(values["proof"])
    return DeliveryRow(**values)
