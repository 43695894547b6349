"""What everything that speaks to the destinations works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from node.store.commitment import Commitments
from node.store.delivery import DeliveryRow
from node.store.files import Files
from node.store.ledger import Ledger
from node.work.settle import Settlement

LEASE_S = 60.0
"""After a work process has died, the others begin to send in its place within this time."""


@dataclass(frozen=True)
class Means:
    """What all outboxes and provers of a process work with.

    Parameters
    ----------
    commitments
        What peers have asked the node to commit to.
    clock
        Gives the current time, timezone-aware.
    chance
        Gives a number from 0 to 1, for the jitter of the waits.
    owner
        Name of this work process, the same after a restart.
    calling_ae_title
        Of the node, where a destination has none of its own.
    replace
        Writes the next form of an object that its destination does not take, and why not;
        False: there is none.
    """

    files: Files
    ledger: Ledger
    commitments: Commitments
    settlement: Settlement
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    owner: str
    calling_ae_title: str
    replace: Callable[[DeliveryRow, str], bool] = lambda _row, _reason: False
