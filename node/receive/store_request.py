"""What the protocol side of the door and the keeping side say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from node.store.chunk import NOTHING, Chunk
from node.store.standing import Receipt


class StoreRequest(NamedTuple):
    """A C-STORE request whose data set is still to come.

    The UIDs are text as it came over the wire, trailing padding removed; nothing says that
    they are valid.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str


class Incoming(Protocol):
    """One data set on its way to the disk. Used by one thread.

    Exactly one of `finish` and `discard` ends it; `hand_over` comes after `finish`.
    """

    @property
    def takes_bytes(self) -> int:
        """So many bytes it would like to be given at once, at least."""
        ...

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append fragments of the encoded data set; they may be overwritten after the call.

        Raises
        ------
        RejectedInstance
            If the data set is larger than the node takes; the rest need not be written.
        OSError
            If the disk is full or fails.
        """
        ...

    def finish(self, rest: Chunk = NOTHING) -> None:
        """Make the whole data set durable; after return its sender may forget it.

        Parameters
        ----------
        rest
            What has not been written yet.

        Raises
        ------
        RejectedInstance
            If the data set cannot be read or is not what the request says.
        OSError
            If the disk fails. Nothing is kept then.
        """
        ...

    def hand_over(self) -> Future[Receipt]:
        """Have the index told; if it never is, the next start of the node finds the file.

        Returns
        -------
        Future of Receipt
            What it is to the index. It raises where the index does not take it.
        """
        ...

    def discard(self) -> None:
        """Forget it; never raises."""
        ...


class Intake(Protocol):
    """Takes in the data sets of one sender, one after the other. Used by one thread."""

    def begin(self, request: StoreRequest) -> Incoming:
        """Prepare for a data set, before its first byte.

        Raises
        ------
        RejectedInstance
            If it would be refused whatever it holds: the disk is nearly full (0xA700), a UID
            is empty (0xA900).
        OSError
            If the disk is full or fails.
        """
        ...

    def make_ready(self) -> None:
        """Do for the next data set what can be done while its sender is not ready; never raises."""
        ...

    def close(self) -> None:
        """Give up what was made ready; never raises."""
        ...


class Keeping(Protocol):
    """Takes data sets in; safe to use from many threads."""

    def open(self) -> Intake:
        """Begin with a sender."""
        ...
