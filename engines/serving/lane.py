"""Whose turn it is on a device."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from threading import Condition


class Lane:
    """So many at a time; of those that wait, the most urgent first.

    That is the one of the highest priority, then the one that is due first, then the one that
    came first.

    Nobody who holds a place is interrupted.

    Parameters
    ----------
    places
        How many may hold the lane at the same time.
    """

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self._waiting: list[tuple[int, float, int]] = []
        self._arrivals = count()
        self._changed = Condition()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        with self._changed:
            return len(self._waiting)

    @contextmanager
    def hold(self, priority: int = 0, due: float = inf) -> Iterator[None]:
        """Wait for a place and hold it.

        Parameters
        ----------
        priority
            Higher goes first.
        due
            When it should be done; of one priority, the earlier goes first. Only compared.
        """
        with self._changed:
            ticket = (-priority, due, next(self._arrivals))
            heapq.heappush(self._waiting, ticket)
            self._changed.wait_for(lambda: self._free > 0 and self._waiting[0] == ticket)
            heapq.heappop(self._waiting)
            self._free -= 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()


__all__ = ["Lane"]
