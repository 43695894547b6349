"""Checks with a fault, to see that the fuzzer finds it."""

from __future__ import annotations


def fails_on_two_bytes(data: bytes) -> bool:
    """Raise where a message goes on behind its end."""
    if data[:1] == b"D" and data[1:2] == b"I":
        raise ValueError("a fault that was planted")
    return False


def hangs_on_zero(data: bytes) -> bool:
    """Never return from a message that begins with zero."""
    if data[:1] == b"\0":
        while True:
            pass
    return False


def swallows_memory(data: bytes) -> bool:
    """Keep all that is asked for."""
    _KEPT.append(b"x" * 2**14)
    return bool(data)


_KEPT: list[bytes] = []
