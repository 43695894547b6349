"""What the answer of a destination to one object means."""

from __future__ import annotations

from typing import Final

from node.domain import DeliveryState, Outcome

SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
TRANSFER_SYNTAX_NOT_SUPPORTED: Final = 0xC122
"""Of STOW-RS (PS3.18 Section I.2.2)."""
DUPLICATE_SOP_INSTANCE: Final = 0x0111


def judge(status: int) -> Outcome:
    """Say what a C-STORE response (PS3.4 Section B.2.3), or a failure reason, means.

    Warnings count as delivered: the object is stored. So does a duplicate: under one SOP
    Instance UID the node never sends two different objects. Out of resources (A7xx) and
    processing failure (0110) may pass; everything else will fail again.
    """
    if status == 0x0000:
        return Outcome(DeliveryState.DELIVERED, status, "")
    if status == DUPLICATE_SOP_INSTANCE:
        return Outcome(DeliveryState.DELIVERED, status, "was there already")
    if status == 0x0001 or status & 0xF000 == 0xB000 or status in (0x0107, 0x0116):
        return Outcome(DeliveryState.DELIVERED, status, f"stored with warning 0x{status:04X}")
    if status & 0xFF00 == 0xA700 or status in (0x0110, 0x0213):
        return Outcome(DeliveryState.WAITING, status, f"refused for now with 0x{status:04X}")
    not_taken = status in (SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED)
    return Outcome(DeliveryState.FAILED, status, f"refused with 0x{status:04X}", not_taken)
