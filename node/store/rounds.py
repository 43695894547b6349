"""What becomes of a delivered object that its destination does not prove to hold.

A delivered object whose proof is awaited goes through rounds:

    0   asked for; unproven, it is sent once more
    1   asked for again; unproven, and the destination was to commit, it is looked up there
    2   looked up by a query; not there, the alarm is raised
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from node.domain import DeliveryState, Proof, ProofMethod

SENT_AGAIN_UNPROVEN: Final = "sent again: "
"""Begins the reason of a delivery that was put back because it was not proven."""
LAST_ROUND: Final = 2


class Next(StrEnum):
    """What becomes of an object that is not proven."""

    SENT_AGAIN = "sent again"
    LOOKED_UP = "looked up"
    ALARMED = "alarmed"


def next_round(
    number: int, method: ProofMethod, reason: str, now: datetime
) -> tuple[Next, dict[str, Any]]:
    """Say what comes after a round that came to nothing, and which columns change.

    Parameters
    ----------
    number
        Of the round.
    method
        By which proof was asked for in it.
    """
    if number == 0:
        return Next.SENT_AGAIN, {
            "state": DeliveryState.WAITING,
            "proof_round": 1,
            "reason": SENT_AGAIN_UNPROVEN + reason,
            "created_at": now,
            "updated_at": now,
            "next_try_at": None,
        }
    if number < LAST_ROUND and method is ProofMethod.STORAGE_COMMITMENT:
        return Next.LOOKED_UP, {"proof_round": LAST_ROUND}
    return Next.ALARMED, {"proof": Proof.ALARMED}
