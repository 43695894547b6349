"""Pieces of a data set as they lie in memory, between the headers of the PDUs they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pieces of a data set, in order.

    Parameters
    ----------
    memory
        What they lie in: it begins at a page of memory, and is valid until it is read into again.
    places
        Where in it: first byte and number of bytes of each piece.
    """

    memory: memoryview
    places: Sequence[tuple[int, int]]

    @property
    def size_bytes(self) -> int:
        """Of all pieces together."""
        return sum(size for _, size in self.places)

    def pieces(self) -> list[memoryview]:
        """The pieces themselves."""
        return [self.memory[at : at + size] for at, size in self.places]


NOTHING: Final = Chunk(memoryview(b""), ())
