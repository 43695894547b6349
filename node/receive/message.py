"""The message of an association that is under way: a command set, then perhaps a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from node.errors import ProtocolError
from node.receive.commands import MAX_COMMAND_BYTES, Command
from node.receive.pdu import INVALID_PARAMETER, Fragment
from node.store.chunk import Chunk

SLOWEST_BYTES_PER_S: Final = 1024
"""A message may take the network timeout and one second more for each KiB; a slower one is
held open on purpose, or hopeless."""
TAKEN_AT_ONCE: Final = 65536
"""Bytes: less may wait for more, which would cost a call to the file system every few KiB."""


class Operation(Protocol):
    """What a message with a data set asks for. Never raises."""

    @property
    def takes_bytes(self) -> int:
        """So many bytes it would like to be given at once, at least."""
        ...

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take fragments of the encoded data set; they may be overwritten after the call."""
        ...

    def finish(self, rest: Chunk) -> tuple[int, str]:
        """Take the last fragments, and do it; status and Error Comment of the response."""
        ...

    def answered(self) -> None:
        """Do what need not keep the peer waiting: the response is on its way, or lost."""
        ...

    def discard(self) -> None:
        """Forget it: its sender has gone."""
        ...


class Message:
    """The message that is under way: its command set, then its data set.

    Parameters
    ----------
    memory
        What the association reads into: whole pages.

    Attributes
    ----------
    command
        None until the command set is complete.
    received
        Bytes of the data set so far.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.command_set = bytearray()
        self.command: Command | None = None
        self.context_id = 0
        self.operation: Operation | None = None
        self.received = 0
        self._began = 0.0
        self._unwritten: list[tuple[int, int]] = []

    def add_command(self, fragment: Fragment) -> None:
        """Append to the command set."""
        if self.command is not None:
            raise ProtocolError(
                INVALID_PARAMETER, "a command fragment where the data set was expected"
            )
        self.command_set += self._memory[fragment.at : fragment.at + fragment.size]
        if len(self.command_set) > MAX_COMMAND_BYTES:
            raise ProtocolError(
                INVALID_PARAMETER, f"a command set of more than {MAX_COMMAND_BYTES} bytes"
            )

    def add_data(self, fragment: Fragment) -> None:
        """Append to the data set; written at the next `flush`."""
        if self.command is None:
            raise ProtocolError(INVALID_PARAMETER, "a data set fragment without a command")
        if fragment.context_id != self.context_id:
            raise ProtocolError(
                INVALID_PARAMETER, "a data set in another presentation context than its command"
            )
        self.received += fragment.size
        if self.operation is not None and fragment.size:
            self._unwritten.append((fragment.at, fragment.size))

    def begin(
        self, context_id: int, command: Command, operation: Operation | None, now: float
    ) -> None:
        """Note what the message wants; its data set, if any, follows."""
        self.context_id = context_id
        self.command = command
        self.operation = operation
        self._began = now

    def deadline(self, timeout_s: float) -> float:
        """When the data set must be complete, as far as it has come."""
        return self._began + timeout_s + self.received / SLOWEST_BYTES_PER_S

    @property
    def takes_bytes(self) -> int:
        """So many bytes are enough for a `flush`."""
        return TAKEN_AT_ONCE if self.operation is None else self.operation.takes_bytes

    @property
    def unwritten(self) -> int:
        """How many fragments wait for `flush`."""
        return len(self._unwritten)

    def flush(self) -> None:
        """Write what has come: the memory is about to be used again."""
        if self.operation is not None and self._unwritten:
            self.operation.write(self._taken().pieces())

    def finish(self) -> tuple[int, str]:
        """Do what a whole message asks of its operation; status and Error Comment."""
        assert self.operation is not None  # noqa: S101 - for the type checker
        return self.operation.finish(self._taken())

    def _taken(self) -> Chunk:
        chunk, self._unwritten = Chunk(self._memory, self._unwritten), []
        return chunk

    def discard(self) -> None:
        """Forget a data set that will not be completed."""
        if self.operation is not None:
            self.operation.discard()
