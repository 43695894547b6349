"""A text made ready: folded, cut into sections and sentences, with every phrase found."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from nlp.forms import matching_text
from nlp.language import has_han, language_of, language_of_sentence
from nlp.lexicon import Cue, Lexicon, Term, lexicon
from nlp.match import Hit, longest
from nlp.normalize import Folded, fold
from nlp.sections import Heading, find_headings, sections_at
from nlp.sentences import split_sentences
from nlp.types import Section

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; every offset counts in the folded text.

    Parameters
    ----------
    body
        Where the sentence begins behind a heading in it.
    cues
        All cue hits, overlapping ones too.
    winning
        Of those the leftmost, longest.
    terms
        All term hits, overlapping ones too.
    """

    start: int
    end: int
    body: int
    section: Section
    lexicon: Lexicon
    cues: tuple[Hit[Cue], ...]
    winning: tuple[Hit[Cue], ...]
    terms: tuple[Hit[Term], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A report, or any clinical text, with its sentences."""

    source: str
    folded: Folded
    text: str
    language: str
    sentences: tuple[Sentence, ...]

    def sentence_at(self, offset: int) -> Sentence | None:
        """The sentence that an offset of the folded text lies in, or the one before it."""
        index = bisect_right(self.sentences, offset, key=lambda each: each.start) - 1
        return self.sentences[max(index, 0)] if self.sentences else None


@lru_cache(maxsize=2)
def read_document(source: str, language: str | None = None) -> Document:
    """Make a text ready; the last two are kept, for many questions about one text.

    Parameters
    ----------
    source
        The text as given.
    language
        ``en`` or ``zh``; None finds out, sentence by sentence.
    """
    folded = fold(source)
    text = matching_text(folded.lower)
    main = language or language_of(folded.lower)
    known = ChainMap(*(lexicon(name).headings for name in _languages(text, main)))
    headings = find_headings(folded.cased, known)
    pieces = list(_pieces(folded.cased, headings, main, language))
    finders = {each[-1].language: each[-1] for each in pieces}
    cues = {name: _Cursor(lex.cues.find(text)) for name, lex in finders.items()}
    terms = {name: _Cursor(lex.terms.find(text)) for name, lex in finders.items()}
    sentences = []
    for start, end, body, section, lex in pieces:
        found = cues[lex.language].within(body, end)
        sentences.append(
            Sentence(
                start,
                end,
                body,
                section,
                lex,
                tuple(found),
                tuple(longest(found)),
                tuple(terms[lex.language].within(body, end)),
            )
        )
    return Document(source, folded, text, main, tuple(sentences))


def _languages(text: str, main: str) -> list[str]:
    """The languages that a text has letters of, its own first."""
    return [main] if has_han(text) == (main == "zh") else ["zh", "en"]


def _pieces(
    cased: str, headings: list[Heading], main: str, forced: str | None
) -> list[tuple[int, int, int, Section, Lexicon]]:
    """Start, end, body, section and lexicon of each sentence; a heading always begins one."""
    pieces = []
    bodies = {each.start: each.end if each.section else each.start for each in headings}
    sections = list(sections_at(headings, len(cased)))
    marks = [*sorted({start for start, _, _ in sections} | set(bodies)), len(cased)]
    at = 0
    for start, end in itertools.pairwise(marks):
        while sections[at][1] <= start < len(cased):
            at += 1
        body = min(bodies.get(start, start), end)
        abbreviations = lexicon(main).abbreviations
        cut = list(split_sentences(cased, body, end, abbreviations=abbreviations))
        if cut and body > start:  # the heading belongs to its first sentence
            cut[0] = (start, cut[0][1])
        elif body > start:
            cut = [(start, body)]
        for number, (first, last) in enumerate(cut):
            language = forced or language_of_sentence(cased[first:last], main)
            behind = max(body, first) if number == 0 else first
            pieces.append((first, last, behind, sections[at][2], lexicon(language)))
    return pieces


class _Cursor(Generic[T]):
    """Hands the hits of a whole text out to its sentences, in order."""

    def __init__(self, hits: Sequence[Hit[T]]) -> None:
        self._hits = hits
        self._at = 0

    def within(self, start: int, end: int) -> list[Hit[T]]:
        """Hits that lie whole in ``start:end``; to be asked from left to right."""
        hits, at = self._hits, self._at
        while at < len(hits) and hits[at].start < start:
            at += 1
        first = at
        while at < len(hits) and hits[at].start < end:
            at += 1
        self._at = at
        return [hit for hit in hits[first:at] if hit.end <= end]
