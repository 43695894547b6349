"""Marked text to text and annotations: offsets are counted, never written.

``No {pneumothorax|pneumothorax absent}.`` is the text ``No pneumothorax.`` with one annotation from
3 to 15. README.md beside this file lists the words that may stand in a mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PRESENCES = ("absent", "unlikely", "possible", "probable", "present")
TEMPORALITIES = ("recent", "historical", "hypothetical")
LATERALITIES = ("left", "right", "bilateral")
SEVERITIES = ("mild", "moderate", "severe")
CHANGES = ("new", "stable", "larger", "smaller", "resolved")
CATEGORIES = {"cat1": 1, "cat2": 2, "cat3": 3}

_SIZE = re.compile(r"(was:)?(\d+(?:\.\d+)?(?:x\d+(?:\.\d+)?)*)")
_CONCEPT = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPED = re.compile(r"[{}]")


@dataclass(frozen=True)
class Mention:
    """What a mark says of one mention.

    Attributes
    ----------
    start, end
        Offsets in characters of the text without marks, end exclusive.
    concept
        Id in the lexicon, or None in the bank of assertions, where any words may be a mention.
    sizes_mm, prior_sizes_mm
        One tuple per size, in the order of the text; millimetres per dimension.
    critical_category
        ACR category of an actionable finding, 1 to 3, or None.
    """

    start: int
    end: int
    concept: str | None
    presence: str = "present"
    temporality: str = "recent"
    experiencer: str = "patient"
    section: str | None = None
    laterality: str | None = None
    severity: str | None = None
    change: str | None = None
    sizes_mm: tuple[tuple[float, ...], ...] = ()
    prior_sizes_mm: tuple[tuple[float, ...], ...] = ()
    critical_category: int | None = None


@dataclass(frozen=True)
class Advice:
    """What a mark says of one recommendation.

    Attributes
    ----------
    modality
        DICOM modality (CT, MR, US, …), another examination (biopsy, clinical), or None.
    interval_days
        Shortest interval named, in days (a month is 30, a year 365), or None.
    needed
        False where the report says that no follow-up is needed.
    """

    start: int
    end: int
    modality: str | None = None
    interval_days: int | None = None
    needed: bool = True


@dataclass
class Marked:
    """A text and what its marks say, in the order in which the marks open."""

    text: str = ""
    mentions: list[Mention] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)


class MarkError(ValueError):
    """A mark that cannot be read: the message quotes it and names the word."""


def read_marks(source: str) -> Marked:
    """Take the marks out of a marked text.

    Parameters
    ----------
    source
        Text with marks ``{words|what is said of them}``, which may stand inside one another.

    Raises
    ------
    MarkError
        A brace without its partner, or a word that no list knows.
    """
    marked, open_marks, section = Marked(), [], None
    position = 0
    while position < len(source):
        character = source[position]
        if character == "{":
            open_marks.append(len(marked.text))
        elif character == "|" and open_marks:
            closing = source.find("}", position)
            if closing < 0:
                raise MarkError(f"no closing brace after {source[position : position + 40]!r}")
            start = open_marks.pop()
            said = source[position + 1 : closing].split()
            if said and said[0].startswith("#"):
                section = said[0][1:]
            elif said and said[0].startswith("!"):
                marked.advice.append(_advice(start, len(marked.text), said))
            else:
                marked.mentions.append(_mention(start, len(marked.text), section, said))
            position = closing
        elif character == "}":
            raise MarkError(f"closing brace alone before {source[position : position + 40]!r}")
        else:
            marked.text += character
        position += 1
    if open_marks:
        raise MarkError(f"open mark before {source[-40:]!r}")
    marked.mentions.sort(key=lambda one: (one.start, one.end))
    return marked


def _mention(start: int, end: int, section: str | None, said: list[str]) -> Mention:
    known: dict[str, object] = {}
    sizes: dict[str, list[tuple[float, ...]]] = {"sizes_mm": [], "prior_sizes_mm": []}
    for word in said:
        size = _SIZE.fullmatch(word)
        if size:
            dimensions = tuple(float(one) for one in size[2].split("x"))
            sizes["prior_sizes_mm" if size[1] else "sizes_mm"].append(dimensions)
            continue
        name, value = _attribute(word)
        if name in known:
            raise MarkError(f"{word!r} after {known[name]!r}: a mark says {name} once, in {said}")
        known[name] = value
    known.update({name: tuple(values) for name, values in sizes.items()})
    return Mention(start, end, known.pop("concept", None), section=section, **known)  # type: ignore[arg-type]


def _attribute(word: str) -> tuple[str, object]:
    for name, values in (
        ("presence", PRESENCES),
        ("temporality", TEMPORALITIES),
        ("laterality", LATERALITIES),
        ("severity", SEVERITIES),
        ("change", CHANGES),
    ):
        if word in values:
            return name, word
    if word == "other":
        return "experiencer", word
    if word in CATEGORIES:
        return "critical_category", CATEGORIES[word]
    if _CONCEPT.fullmatch(word):
        return "concept", word
    raise MarkError(f"{word!r} is neither a concept nor a word of README.md")


def _advice(start: int, end: int, said: list[str]) -> Advice:
    modality: str | None = said[0][1:] or None
    interval = None
    for word in said[1:]:
        amount = re.fullmatch(r"(\d+)(d|w|mo|y)", word)
        if not amount:
            raise MarkError(f"{word!r} is no interval like 3mo, 6w, 10d or 1y")
        interval = int(amount[1]) * {"d": 1, "w": 7, "mo": 30, "y": 365}[amount[2]]
    needed = modality != "none"
    return Advice(start, end, modality if needed else None, interval, needed)


def plain(source: str) -> str:
    """Text without its marks."""
    return read_marks(source).text
