"""How far a cue reaches: breaks, clauses and lists of one sentence.

After NegEx (Chapman 2001) and ConText (Harkema 2009): a cue governs what stands behind or before
it up to a stop. Added here is the structure that a comma or "and" opens: another item of the list
that the cue governs, or another clause, which has a finite verb of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nlp.lexicon import Cue
from nlp.match import Hit

_PUNCTUATION = re.compile(r"[,;:()]|(?<=\s) ?- (?=\S)|(?<=\w)-- ?")
_WORD = re.compile(r"\w+")
_KINDS = {",": "comma", ";": "semicolon", ":": "colon", "(": "open", ")": "close"}
_VERBS = frozenset({"verb", "exists"})
_AMOUNT = re.compile(
    r"[\W\d]*(?:(?:about|approximately|around|roughly|some|nearly|almost|over|more than|at least"
    r"|only|just|many|several|few|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve"
    r"|fifteen|twenty|thirty|to|or|and|half|back|then)\b[\W\d]*)*"
)
_LONGEST_AMOUNT = 40
"""Characters that an amount before "years ago" has at most."""
_NOW_SIZED = re.compile(r"\b(?:now|currently|today)(?: measur\w+)? \d")
_REASON = re.compile(r"[\s\d]*(?:with|for|because of|due to|secondary to)\b")
_YEAR_OR_COMMA = re.compile(r"[\s\d,]*")
NEAR_WORDS = 3
"""A cue of scope ``word`` has at most so many words between itself and the mention."""


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a scope may end."""

    start: int
    end: int
    kind: str


class Clauses:
    """The breaks and verbs of one sentence, with one mention left out.

    Parameters
    ----------
    text
        The folded text that the offsets count in.
    cues
        Winning cue hits of the sentence, none of which touches the mention.
    start, end
        Of the sentence.
    own_verbs
        Finite verbs inside the mention; they make a clause of it.
    comma_ends_scope
        See `nlp.lexicon.Lexicon`.
    """

    def __init__(
        self,
        text: str,
        cues: Sequence[Hit[Cue]],
        start: int,
        end: int,
        *,
        own_verbs: Sequence[Hit[Cue]] = (),
        comma_ends_scope: bool,
    ) -> None:
        self._text = text
        self._comma_ends_scope = comma_ends_scope
        breaks = [
            Break(hit.start, hit.end, _kind(hit.value))
            for hit in cues
            if hit.value.type in {"stop", "join", "either"} or _begins_story(hit.value)
        ]
        breaks += [
            Break(match.start(), match.end(), _KINDS.get(match.group().strip(), "semicolon"))
            for match in _PUNCTUATION.finditer(text, start, end)
        ]
        self._breaks = sorted(breaks, key=lambda each: each.start)
        self._verbs = [hit for hit in cues if hit.value.type in _VERBS or _has_verb(hit.value)]
        self._verbs.extend(own_verbs)
        self._start, self._end = start, end

    def reaches(self, cue: Hit[Cue], start: int, end: int) -> bool:
        """Whether a cue governs the mention ``start:end``."""
        if self._parenthesis(cue.start) not in {-1, self._parenthesis(start)}:
            return False
        if cue.end <= start:
            return cue.value.direction != "backward" and self._reaches_forward(cue, start)
        return cue.value.direction != "forward" and self._reaches_backward(cue, end)

    def _parenthesis(self, offset: int) -> int:
        """Where the parenthesis around an offset opens; -1 outside of any."""
        opened = -1
        for each in self._breaks:
            if each.start >= offset:
                break
            if each.kind == "open":
                opened = each.start
            elif each.kind == "close":
                opened = -1
        return opened

    def _reaches_forward(self, cue: Hit[Cue], start: int) -> bool:
        scope, behind = cue.value.scope, cue.end
        if cue.value.direction == "adverbial":
            goes_on = self._clause_behind(cue)
            if goes_on is None:
                return False
            behind = goes_on
        between = [each for each in self._breaks if behind <= each.start and each.end <= start]
        if scope == "word":
            return not between and self._words(cue.end, start) <= NEAR_WORDS
        if scope == "sentence":
            return True
        return not any(self._closes(each, cue, start) for each in between)

    def _clause_behind(self, cue: Hit[Cue]) -> int | None:
        """Where the clause of an adverbial goes on behind it, if it does.

        "In 2001, he | had a stroke" and "treated in 2001 for | a stroke", but not "in 2001, there
        was a nodule of 3 mm, now 5 mm".
        """
        if reason := _REASON.match(self._text, cue.end, self._end):
            return reason.end()
        if not _AMOUNT.fullmatch(self._text, self._start, cue.start):
            return None
        if _NOW_SIZED.search(self._text, cue.end, self._end):
            return None
        match = _YEAR_OR_COMMA.match(self._text, cue.end, self._end)
        at = match.end() if match else cue.end
        subject = next((each for each in self._breaks if each.start == at), None)
        return subject.end if subject and subject.kind == "stop" else at

    def _closes(self, each: Break, cue: Hit[Cue], start: int) -> bool:
        """Whether a break behind a cue ends its scope before ``start``."""
        match each.kind:
            case "stop" | "semicolon":
                return True
            case "stop presence":
                return cue.value.type == "presence"
            case "colon":
                return self._words(cue.end, each.start) > 2
            case "comma":
                if self._comma_ends_scope or cue.value.scope == "clause":
                    return True
                return self._opens_clause(each, {"verb", "exists", "presence"})
            case "join":
                return cue.value.scope == "clause" or self._opens_clause(each, {"verb", "presence"})
            case _:
                return False

    def _opens_clause(self, each: Break, types: set[str]) -> bool:
        """Whether what follows a break has a verb of its own, and is no alternative."""
        until = self._end
        for other in self._breaks:
            if other.start < each.end:
                continue
            if other.kind in {"comma", "semicolon", "stop", "stop presence", "colon"}:
                until = other.start
                break
            if other.kind == "either":
                return False
        return any(
            each.end <= verb.start < until and verb.value.type in types for verb in self._verbs
        )

    def _reaches_backward(self, cue: Hit[Cue], end: int) -> bool:
        scope = cue.value.scope
        between = [each for each in self._breaks if end <= each.start and each.end <= cue.start]
        if scope == "word":
            words = self._words(end, cue.start)
            if all(each.kind == "colon" for each in between):
                return words <= NEAR_WORDS
            return not words and self._ends_sentence(cue.end)  # "hypokalemia, resolved."
        if scope == "sentence":
            return True
        for each in between:
            if each.kind in {"stop", "stop presence", "semicolon"}:
                return False
            if each.kind == "colon" and self._words(each.end, cue.start):
                return False
            if each.kind == "comma" and (self._comma_ends_scope or scope == "clause"):
                return False
        own = cue.start - 1  # the cue's own verb touches it
        if cue.value.direction == "adverbial":
            own = self._before_amount(end, cue.start)
        return not any(end <= verb.start and verb.end < own for verb in self._verbs)

    def _before_amount(self, start: int, end: int) -> int:
        """The end of the last word of ``start:end`` that counts nothing ("was" 3 years ago)."""
        words = list(_WORD.finditer(self._text, max(start, end - _LONGEST_AMOUNT), end))
        while words and _AMOUNT.fullmatch(words[-1].group()):
            words.pop()
        return words[-1].end() if words else end

    def _ends_sentence(self, offset: int) -> bool:
        return not _WORD.search(self._text, offset, self._end)

    def _words(self, start: int, end: int) -> int:
        between = self._text[start:end]
        if between.isascii():
            return len(_WORD.findall(between))
        return (len(between) + 1) // 2


def _kind(cue: Cue) -> str:
    """The kind of break that a cue makes."""
    if _begins_story(cue):
        return "stop"
    return cue.type if cue.ends == "all" else f"{cue.type} {cue.ends}"


def _begins_story(cue: Cue) -> bool:
    """What stands before "who presents with" says nothing of what follows."""
    return cue.type == "recent" and cue.is_verb


def _has_verb(cue: Cue) -> bool:
    """A presence cue that looks backward ("is not seen") is the verb of its clause."""
    return cue.is_verb or (cue.type == "presence" and cue.direction == "backward")
