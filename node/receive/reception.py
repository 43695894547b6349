"""What all associations of the door share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.config.model import Receive
from node.receive.admission import Admission, Strangers
from node.receive.buffers import Buffers
from node.receive.commitment import CommitmentService
from node.receive.negotiation import Negotiator
from node.receive.occupancy import Occupancy
from node.receive.store_request import Keeping


@dataclass(frozen=True)
class Reception:
    """What all associations share."""

    receive: Receive
    admission: Admission
    strangers: Strangers
    occupancy: Occupancy
    negotiator: Negotiator
    keeping: Keeping
    buffers: Buffers
    commitment: CommitmentService | None
    monotonic: Callable[[], float]
