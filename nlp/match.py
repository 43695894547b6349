"""Many phrases in one pass over a text (Aho-Corasick), whole words only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ahocorasick_rs import AhoCorasick, MatchKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """One phrase found: where, and what it means."""

    start: int
    end: int
    value: T

    def overlaps(self, start: int, end: int) -> bool:
        """Whether the two share a character."""
        return self.start < end and start < self.end


class Matcher(Generic[T]):
    """Phrases and what they mean.

    Parameters
    ----------
    phrases
        Pairs of a phrase, in matching form, and its value. A phrase may come more than once.
    """

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        table: dict[str, list[T]] = {}
        for phrase, value in phrases:
            table.setdefault(phrase, []).append(value)
        self._values = [tuple(values) for values in table.values()]
        self._edges = [(_is_word(phrase[0]), _is_word(phrase[-1])) for phrase in table]
        self._automaton = AhoCorasick(list(table), MatchKind.Standard) if table else None

    def find(self, text: str) -> list[Hit[T]]:
        """Every hit, overlapping ones too, by start and then the longest first."""
        if self._automaton is None:
            return []
        found: list[Hit[T]] = []
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            opens, closes = self._edges[index]
            if opens and start and _is_word(text[start - 1]):
                continue
            if closes and end < len(text) and _is_word(text[end]):
                continue
            found.extend(Hit(start, end, value) for value in self._values[index])
        found.sort(key=lambda hit: (hit.start, -hit.end))
        return found


def longest(hits: Sequence[Hit[T]]) -> list[Hit[T]]:
    """Of hits sorted as `Matcher.find` does, those that win: leftmost, then longest.

    Hits of the same stretch all stay: one phrase may mean two things.
    """
    kept: list[Hit[T]] = []
    for hit in hits:
        same = kept and (hit.start, hit.end) == (kept[-1].start, kept[-1].end)
        if not kept or same or hit.start >= kept[-1].end:
            kept.append(hit)
    return kept


def _is_word(character: str) -> bool:
    """A letter or digit of a script that separates words; Han has no such edges."""
    return character.isalnum() and character < "\u2e80"
