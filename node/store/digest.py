"""The digest that names a received instance."""

from __future__ import annotations

from blake3 import blake3


def new_digest(transfer_syntax_uid: str) -> blake3:
    """Begin the digest of an instance: BLAKE3 over its transfer syntax, then its data set.

    As safe as SHA-256, which named the instances of version 0.1, and three times as fast: at
    the door it was the largest part of what an image cost.
    """
    return blake3(transfer_syntax_uid.encode() + b"\x1f")
