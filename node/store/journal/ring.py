"""Which parts of a journal are taken: in a ring, so that the oldest goes first. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Region:
    """A part of the ring that is taken.

    Parameters
    ----------
    number
        They count up.
    """

    offset: int
    length: int
    number: int
    is_free: bool = False


class Ring:
    """Gives out regions in order, and takes them back in any order.

    Parameters
    ----------
    begin
        Offset of its first byte.
    number
        Of the first region.

    Attributes
    ----------
    limit
        Offset behind its last byte; may grow.
    """

    def __init__(self, begin: int, number: int) -> None:
        self.limit = begin
        self._begin = begin
        self._head = begin
        self._next = number
        self._taken: deque[Region] = deque()

    @property
    def floor(self) -> int:
        """The lowest number that is taken; all below are free for good."""
        return self._taken[0].number if self._taken else self._next

    @property
    def is_empty(self) -> bool:
        """Whether nothing is taken."""
        return not self._taken

    @property
    def share_taken(self) -> float:
        """How much of it cannot be given out, from 0 to 1; 1 as long as there is no room at all."""
        size = self.limit - self._begin
        if not size:
            return 1.0
        if not self._taken:
            return 0.0
        return (self._head - self._taken[0].offset) % size / size or 1.0

    def take(self, length: int) -> Region | None:
        """Give out so many bytes in one piece; None if there are not so many."""
        if not self._taken:
            self._head = self._begin
        elif self._taken[0].offset >= self._head:
            # What is taken lies around the end: what is free lies before the oldest of it.
            if self._taken[0].offset - self._head < length:
                return None
            return self._give_out(length)
        if self.limit - self._head < length:
            if not self._taken or self._taken[0].offset - self._begin < length:
                return None
            self._head = self._begin
        return self._give_out(length)

    def give_back(self, region: Region) -> None:
        """Take a region back."""
        region.is_free = True
        while self._taken and self._taken[0].is_free:
            self._taken.popleft()

    def _give_out(self, length: int) -> Region:
        region = Region(self._head, length, self._next)
        self._taken.append(region)
        self._head += length
        self._next += 1
        return region
