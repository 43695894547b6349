"""UIDs and digests that are the same on every machine."""

from __future__ import annotations

import hashlib
import uuid

UID_NAMESPACE = uuid.UUID("6f0b7d1e-5a0e-5c43-9d3f-0c7f0c1f7a51")
"""Namespace of all UIDs that Wetread derives (UUIDv5); changing it changes every UID."""

MANUFACTURER = "Wetread"
"""Manufacturer (0008,0070) of every object the node writes; the loop guard looks for it."""


def derived_uid(*parts: str) -> str:
    """Derive a UID from its parts: the same parts give the same UID on every machine.

    Returns
    -------
    str
        ``2.25.`` and the decimal UUIDv5 (PS3.5 Section B.2), at most 44 characters.
    """
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, chr(31).join(parts)).int}"


def digest_of(*parts: str) -> str:
    """SHA-256 over text parts, hex; the separator keeps ("ab", "c") and ("a", "bc") apart."""
    return hashlib.sha256(chr(31).join(parts).encode()).hexdigest()
