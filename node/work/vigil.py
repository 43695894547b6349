"""Watching things for standing still, by a stopwatch and not by the clock."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Seen = TypeVar("Seen", bound=Hashable)


class Vigil(Generic[Seen]):
    """Says which things have not changed for some time. Used by one thread.

    Parameters
    ----------
    patience_s
        Seconds without change after which a thing counts as standing still.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[str, tuple[Seen, float]] = {}

    def watch(self, seen: Mapping[str, Seen], now_s: float) -> list[str]:
        """Note how the things look now, and name those that have looked so for long enough.

        Parameters
        ----------
        seen
            How each thing looks, by its name. What is not there any more is forgotten.
        now_s
            Of a stopwatch that only ever grows.
        """
        known = self._since
        self._since = {
            name: known[name] if name in known and known[name][0] == look else (look, now_s)
            for name, look in seen.items()
        }
        return [
            name for name, (_, since) in self._since.items() if now_s - since >= self._patience_s
        ]
