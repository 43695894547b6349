"""Headings, and the section each sentence stands in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nlp.forms import matching_form
from nlp.types import Section

_WITH_COLON = re.compile(
    r"(?:(?<=\n)|(?<=[.;!?\u3002\uff1b] )|(?<=[.;!?\u3002\uff1b])|^)[ \t]*(?:[-#>]+ ?)?"
    r"(?:\d{1,2}[.)] ?|[(\[\u3010])?"
    r"(?P<name>[^\W\d_][^\n:.;\u3002\uff1b]{0,60}?)[)\]\u3011]?[ ]?:"
)
_ALONE = re.compile(r"(?<=\n)[ \t]*(?P<name>[^\W\d_][^\n:.,;\u3002]{1,60}?)[ \t]*(?=\n|$)")
_IN_CAPITALS = re.compile(r"(?<=[\s\])])[A-Z][A-Z&/]*(?: [A-Z&/]+){0,4} ?:")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: where it stands, what follows, and its section (None for an organ's line)."""

    start: int
    end: int
    section: Section | None


def find_headings(cased: str, headings: Mapping[str, Section]) -> list[Heading]:
    """Every heading of a folded text, in order.

    A known heading opens a section: with a colon anywhere a sentence may begin, without one on a
    line of its own; in capitals and with a colon anywhere, for reports that lost their line breaks.
    Another line that begins with up to five words and a colon ("Liver:") is a
    heading within its section.
    """
    found: dict[int, Heading] = {}
    text = "\n" + cased
    for match in _WITH_COLON.finditer(text):
        name = matching_form(match["name"])
        section = headings.get(name)
        if section is None and len(name.split()) > 5:
            continue
        start = match.start("name") - 1
        found[start] = Heading(start, match.end() - 1, section)
    for match in _ALONE.finditer(text):
        section = headings.get(matching_form(match["name"]))
        start = match.start("name") - 1
        if section is not None and start not in found:
            found[start] = Heading(start, match.end() - 1, section)
    for match in _IN_CAPITALS.finditer(text):
        inside = _known_in_capitals(match, headings)
        if inside is not None:
            found.setdefault(inside.start, inside)
    return [found[start] for start in sorted(found)]


def _known_in_capitals(match: re.Match[str], headings: Mapping[str, Section]) -> Heading | None:
    """The longest known heading at the end of words in capitals ("CT CHEST CLINICAL HISTORY:")."""
    words = list(re.finditer(r"\S+", match.group().removesuffix(":")))
    for word in words:
        name = match.group()[word.start() :].removesuffix(":").rstrip()
        section = headings.get(matching_form(name))
        if section is not None:
            return Heading(match.start() + word.start() - 1, match.end() - 1, section)
    return None


def sections_at(headings: list[Heading], length: int) -> Iterator[tuple[int, int, Section]]:
    """Cover the text from 0 to ``length`` with sections, in order."""
    start, section = 0, Section.UNKNOWN
    for heading in headings:
        if heading.section is None:
            continue
        if heading.start > start:
            yield start, heading.start, section
        start, section = heading.start, heading.section
    if start < length or not length:
        yield start, length, section
