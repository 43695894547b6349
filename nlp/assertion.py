"""What a sentence says about a mention in it: there or not, when, and whose.

The mention may be anything, also words that no lexicon knows. Cues that touch it are part of it
and say nothing ("no change in vision" about *change in vision* is a negation), save that what
opens with "history of" or "status post" was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nlp.document import Document, Sentence, read_document
from nlp.lexicon import Cue
from nlp.match import Hit, longest
from nlp.scope import Clauses
from nlp.scope_zh import ChineseClauses
from nlp.types import Assertion, Change, Experiencer, Presence, Section, Temporality

GOVERNING = frozenset({"presence", "historical", "hypothetical", "recent", "other"})
"""Types of cues that say something about a mention; the others shape scopes."""

_GOES_ON = frozenset({Change.NEW, Change.STABLE, Change.LARGER, Change.SMALLER})

OLD_SECTIONS = frozenset({Section.HISTORY, Section.FAMILY_HISTORY, Section.COMPARISON})
"""What stands there was, unless a cue says that it is."""


def assess(text: str, start: int, end: int, *, language: str | None = None) -> Assertion:
    """Say what ``text`` asserts about its mention ``text[start:end]``.

    Parameters
    ----------
    text
        A sentence, a note or a report, of any length.
    start, end
        Offsets of the mention in ``text``, in characters, end exclusive.
    language
        ``en`` or ``zh``; None finds out.

    Raises
    ------
    ValueError
        The offsets do not lie in the text.
    """
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"offsets {start}:{end} do not lie in a text of {len(text)} characters")
    document = read_document(text, language)
    first = document.folded.from_source(start)
    last = max(document.folded.from_source(end), first)
    first, last = _whole_words(document.text, first, last)
    sentence = document.sentence_at(first)
    if sentence is None:
        return Assertion()
    assertion = assert_mention(document, sentence, first, last)
    if _names_history(sentence, first, last) or _is_problem_list_entry(
        document, sentence, first, last
    ):
        return replace(assertion, temporality=Temporality.HISTORICAL)
    return assertion


def assert_mention(document: Document, sentence: Sentence, start: int, end: int) -> Assertion:
    """Say what a sentence asserts about ``start:end``, offsets of the folded text."""
    return combine(document, reaching_cues(document, sentence, start, end), start, sentence)


def reaching_cues(document: Document, sentence: Sentence, start: int, end: int) -> list[Hit[Cue]]:
    """The cues that govern ``start:end``, offsets of the folded text, in order."""
    cues = _cues_beside(sentence, start, end)
    clauses = _clauses(document, sentence, cues, start, end)
    return [
        hit
        for hit in cues
        if (hit.value.type in GOVERNING or hit.value.change is not None)
        and clauses.reaches(hit, start, end)
    ]


def _clauses(
    document: Document, sentence: Sentence, cues: Sequence[Hit[Cue]], start: int, end: int
) -> Clauses | ChineseClauses:
    if sentence.lexicon.comma_ends_scope:
        return ChineseClauses(document.text, cues, sentence.body, sentence.end)
    return Clauses(
        document.text,
        cues,
        sentence.body,
        sentence.end,
        own_verbs=[
            hit for hit in sentence.cues if hit.value.type == "verb" and hit.overlaps(start, end)
        ],
        comma_ends_scope=sentence.lexicon.comma_ends_scope,
    )


def combine(
    document: Document, reaching: Sequence[Hit[Cue]], start: int, sentence: Sentence
) -> Assertion:
    """Make one assertion of the cues that govern a mention at ``start``."""

    def opens_item(offset: int) -> bool:
        before = document.text[sentence.start : offset].rstrip()
        return before.endswith((",", ":", " and", "("))

    return Assertion(
        presence=_presence(reaching, start, opens_item),
        temporality=_temporality(reaching, start, sentence.section),
        experiencer=_experiencer(reaching, sentence.section),
    )


def _cues_beside(sentence: Sentence, start: int, end: int) -> Sequence[Hit[Cue]]:
    """The winning cues when those that touch the mention take no part."""
    if not any(hit.overlaps(start, end) for hit in sentence.cues):
        return sentence.winning
    return longest([hit for hit in sentence.cues if not hit.overlaps(start, end)])


def _presence(reaching: Sequence[Hit[Cue]], start: int, opens: Callable[[int], bool]) -> Presence:
    """Combine the cues on either side; the one that denies more decides."""
    given = [hit for hit in reaching if hit.value.certainty is not None]
    grades = [_certainty(hit) for hit in given if hit.start >= start]
    before = [hit for hit in given if hit.end <= start]
    if before:
        grades.append(_forward_grade(before, opens))
    asked = any(hit.value.type == "hypothetical" for hit in reaching)
    without = Presence.POSSIBLE if asked else Presence.PRESENT
    return min(grades, key=lambda grade: grade.rank, default=without)


def _forward_grade(before: Sequence[Hit[Cue]], opens: Callable[[int], bool]) -> Presence:
    """The nearest cue, unless one before it governs it too.

    "No opacity to suggest pneumonia" denies the pneumonia; "no effusion, possible pneumonia" does
    not, for there the nearest cue opens an item of its own.
    """
    grade = _certainty(before[-1])
    nearer = before[-1]
    for hit in reversed(before[:-1]):
        if nearer.value.is_verb or opens(nearer.start):
            break
        grade = min(grade, _certainty(hit), key=lambda each: each.rank)
        nearer = hit
    return grade


def _certainty(hit: Hit[Cue]) -> Presence:
    return hit.value.certainty or Presence.PRESENT


def _temporality(reaching: Sequence[Hit[Cue]], start: int, section: Section) -> Temporality:
    """A condition first; then the nearest cue of time, and at last the section.

    A date does not put in the past what has changed, or not changed, since.
    """
    goes_on = any(hit.value.change in _GOES_ON for hit in reaching)
    timed = [
        hit
        for hit in reaching
        if hit.value.type in {"historical", "recent"}
        and not (goes_on and hit.value.direction == "adverbial")
    ]
    if any(hit.value.type == "hypothetical" for hit in reaching):
        return Temporality.HYPOTHETICAL
    if timed:
        nearest = min(timed, key=lambda hit: max(start - hit.end, hit.start - start))
        return Temporality(nearest.value.type)
    if section in OLD_SECTIONS:
        return Temporality.HISTORICAL
    return Temporality.RECENT


def _experiencer(reaching: Sequence[Hit[Cue]], section: Section) -> Experiencer:
    other = section is Section.FAMILY_HISTORY or any(hit.value.type == "other" for hit in reaching)
    return Experiencer.OTHER if other else Experiencer.PATIENT


def _names_history(sentence: Sentence, start: int, end: int) -> bool:
    """Whether the mention says itself that it was ("status post CABG")."""
    return any(
        hit.value.type == "historical" and hit.start == start and hit.end < end
        for hit in sentence.winning
    )


def _is_problem_list_entry(document: Document, sentence: Sentence, start: int, end: int) -> bool:
    """Whether the whole text is the name of a chronic disorder or an operation, and no more."""
    around = document.text[:start] + document.text[end:]
    return (
        document.text[start:end] in sentence.lexicon.chronic
        and len(around) <= 8
        and not any(each.isalpha() for each in around)
    )


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen or trim offsets that are slightly off to whole Latin words."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while start and _inside_word(text, start):
        start -= 1
    while end < len(text) and _inside_word(text, end):
        end += 1
    return start, end


def _inside_word(text: str, at: int) -> bool:
    """Whether the characters on both sides of an offset belong to one Latin word."""
    left, right = text[at - 1 : at], text[at : at + 1]
    return left.isalpha() and right.isalpha() and left < "\u2e80" and right < "\u2e80"
