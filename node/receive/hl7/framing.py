"""MLLP: a stream of bytes → whole messages (HL7 Lower Layer Protocols, release 1).

A block is ``<VT> message <FS> <CR>``. What stands between two blocks is let go, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.errors import ProtocolError

START: Final = b"\x0b"
END: Final = b"\x1c"
CARRIAGE_RETURN: Final = b"\r"
MAX_BETWEEN_BYTES: Final = 4096
"""Bytes outside any block, between two of them: more is no MLLP."""


def framed(message: bytes) -> bytes:
    """Put a message into a block."""
    return START + message + END + CARRIAGE_RETURN


class Deframer:
    """Collects the blocks of one connection.

    Parameters
    ----------
    max_message_bytes
        A block may hold no more.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._block: bytearray | None = None
        self._between = 0

    @property
    def in_block(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._block is not None

    @property
    def held_bytes(self) -> int:
        """Bytes of the block that has not ended."""
        return 0 if self._block is None else len(self._block)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has come; yield each message that is whole now.

        Raises
        ------
        ProtocolError
            After the whole messages, if a block is too large, begins inside another, or none
            begins. Nothing can be fed any more then.
        """
        while data:
            if self._block is None:
                before, start, data = data.partition(START)
                self._between += len(before)
                if self._between > MAX_BETWEEN_BYTES:
                    raise ProtocolError(
                        0, f"more than {MAX_BETWEEN_BYTES} bytes outside a block (no <VT>)"
                    )
                if start:
                    self._block = bytearray()
                continue
            piece, end, data = data.partition(END)
            if START in piece:
                raise ProtocolError(0, "a block begins (<VT>) before the one before it has ended")
            self._block += piece
            if len(self._block) > self._max:
                raise ProtocolError(
                    0, f"a block of more than {self._max} bytes (receive.hl7.max_message_bytes)"
                )
            if end:
                message, self._block, self._between = bytes(self._block), None, 0
                yield message
