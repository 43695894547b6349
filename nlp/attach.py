"""Which mention a describing word belongs to: "left effusion and nodule in the right lung".

A word belongs to the mention that it stands in, or to the nearest one of its clause; between two
mentions a preposition or verb ties it to the first, a comma or "and" before it to the second. A
clause without a mention speaks of the mention before it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nlp.document import Sentence
from nlp.lexicon import Cue
from nlp.mentions import Mention
from nlp.types import Presence

_PUNCTUATION = re.compile(r"[,;()/]")
_KINDS = {";": "hard", "/": "either"}
_WORDS = re.compile(r"\w+")
WORDS_BEFORE_SIZE = 7
HAN_BEFORE_SIZE = 4
"""So many words, or Han characters, may stand between a size and the mention it is of behind it."""


class Placed(Protocol):
    """Anything that stands somewhere in the text."""

    @property
    def start(self) -> int: ...  # noqa: D102 - offset of the folded text
    @property
    def end(self) -> int: ...  # noqa: D102 - the same, exclusive


@dataclass(frozen=True, slots=True)
class _Joint:
    start: int
    kind: str


class Attachment:
    """The clauses of one sentence and the mentions in it.

    Parameters
    ----------
    text
        Folded text.
    sentence
        The sentence.
    mentions
        Its mentions, in order.
    """

    def __init__(self, text: str, sentence: Sentence, mentions: Sequence[Mention]) -> None:
        self._text = text
        self._mentions = mentions
        self._starts = [mention.start for mention in mentions]
        self._verbs = [
            hit.start for hit in sentence.winning if hit.value.type in {"verb", "exists"}
        ]
        self._ties = self._verbs + [
            hit.start for hit in sentence.terms if hit.value.kind == "preposition"
        ]
        self._sites = [hit.start for hit in sentence.terms if hit.value.kind == "sites"]
        self._links = [hit.start for hit in sentence.winning if _interprets(hit.value)]
        self._joints = sorted(_joints(text, sentence), key=lambda each: each.start)
        self._borders = self._clause_borders(
            sentence.end, every_comma=sentence.lexicon.comma_ends_scope
        )

    def owner(self, placed: Placed) -> int | None:
        """Index of the mention that a word belongs to; None if there is no mention."""
        if not self._mentions:
            return None
        for index, mention in enumerate(self._mentions):
            if mention.start <= placed.start < mention.end:
                return index
        behind = bisect_right(self._starts, placed.start)
        left = behind - 1 if behind else None
        right = behind if behind < len(self._mentions) else None
        if left is None or right is None:
            return right if left is None else left
        clause = self._clause(placed.start)
        left_here = self._clause(self._mentions[left].start) == clause
        right_here = self._clause(self._mentions[right].start) == clause
        if left_here != right_here or not left_here:
            return right if right_here else left
        return left if self._belongs_left(placed, left, right) else right

    def owner_of_size(self, size: Placed) -> int | None:
        """Index of the mention that a size belongs to: the one right behind it, else before it.

        A clause with a site and no mention speaks of something the lexicon does not know.
        """
        behind = bisect_right(self._starts, size.start)
        clause = self._clause(size.start)
        if behind < len(self._mentions):
            start = self._mentions[behind].start
            joined = any(size.end <= each.start < start for each in self._joints)
            near = self._is_near(self._text[size.end : start])
            if near and not joined and self._clause(start) == clause:
                return behind
        here = behind and self._clause(self._mentions[behind - 1].end - 1) == clause
        if here or (behind and not self._has_site(clause)):
            return behind - 1
        return None

    def _is_near(self, between: str) -> bool:
        if between.isascii():
            return len(_WORDS.findall(between)) <= WORDS_BEFORE_SIZE
        return len(between) <= HAN_BEFORE_SIZE

    def _has_site(self, clause: int) -> bool:
        return any(self._clause(site) == clause for site in self._sites)

    def groups(self, *, alternatives: bool = False) -> list[list[int]]:
        """Indexes of mentions that only commas and conjunctions part: one list, one clause.

        With ``alternatives`` only those that "or", "versus" or a slash parts.
        """
        made: list[list[int]] = []
        for index, mention in enumerate(self._mentions):
            if made and self._only_joined(
                self._mentions[made[-1][-1]].end, mention.start, alternatives=alternatives
            ):
                made[-1].append(index)
            else:
                made.append([index])
        return made

    def explains(self, index: int) -> int | None:
        """Index of the mention before it that a mention explains: "opacity, likely edema"."""
        if index == 0:
            return None
        start, end = self._mentions[index - 1].end, self._mentions[index].start
        return index - 1 if any(start <= link < end for link in self._links) else None

    def _belongs_left(self, placed: Placed, left: int, right: int) -> bool:
        start, end = self._mentions[left].end, self._mentions[right].start
        joined = [each for each in self._joints if start <= each.start < end]
        before = [each for each in joined if each.start < placed.start]
        behind = [each for each in joined if each.start >= placed.end]
        if not behind and self._stands_right_before(placed.end, end):
            return False
        tied = [tie for tie in self._ties if start <= tie < placed.start]
        if behind and not before:
            return True
        if tied and (not before or max(tied) > before[-1].start):
            return not (before and not behind)
        if before:
            return False
        return placed.start - start < end - placed.end

    def _stands_right_before(self, start: int, end: int) -> bool:
        """Whether at most one word, and no preposition, parts a word from the mention behind."""
        between = _WORDS.findall(self._text[start:end])
        return len(between) <= 1 and not any(start <= tie < end for tie in self._ties)

    def _only_joined(self, start: int, end: int, *, alternatives: bool) -> bool:
        """Whether between two mentions stand joints and at most two other words."""
        between = self._text[start:end]
        kinds = {each.kind for each in self._joints if start <= each.start < end}
        if "hard" in kinds or (not kinds and between.strip()):
            return False
        if alternatives and "either" not in kinds:
            return False
        return len(_WORDS.findall(between)) <= 3 and not any(
            start <= verb < end for verb in self._verbs
        )

    def _clause(self, offset: int) -> int:
        return bisect_right(self._borders, offset)

    def _clause_borders(self, end: int, *, every_comma: bool) -> list[int]:
        borders = []
        for number, joint in enumerate(self._joints):
            if joint.kind == "hard" or (every_comma and joint.kind == "comma"):
                borders.append(joint.start)
            elif joint.kind in {"comma", "join"}:
                following = [
                    each.start
                    for each in self._joints[number + 1 : number + 2]
                    if each.kind != "either"
                ]
                until = following[0] if following else end
                if any(joint.start < verb < until for verb in self._verbs):
                    borders.append(joint.start)
        return borders


def _joints(text: str, sentence: Sentence) -> list[_Joint]:
    made = [
        _Joint(hit.start, _kind(hit.value))
        for hit in sentence.winning
        if hit.value.type in {"stop", "join", "either"}
    ]
    made += [_Joint(hit.start, "either") for hit in sentence.winning if _is_alternative(hit.value)]
    made += [
        _Joint(match.start(), _KINDS.get(match.group(), "comma"))
        for match in _PUNCTUATION.finditer(text, sentence.body, sentence.end)
    ]
    return made


def _kind(cue: Cue) -> str:
    if cue.type == "stop":
        return "hard" if cue.ends == "all" else "with"
    return cue.type


def _interprets(cue: Cue) -> bool:
    """Words between a sign and what it may mean: "suggestive of", "may represent"."""
    return cue.certainty in {Presence.POSSIBLE, Presence.PROBABLE} and cue.direction == "forward"


def _is_alternative(cue: Cue) -> bool:
    """Two names for one thing: "atelectasis versus infiltrate"."""
    return cue.type == "presence" and cue.direction == "both" and cue.scope == "word"


def share_in_lists(
    groups: Sequence[Sequence[int]], owned: dict[int, list[str]], may_share: Callable[[int], bool]
) -> None:
    """Give members of a list that have nothing what the nearest member before or behind has."""
    for group in groups:
        if len(group) < 2:
            continue
        given = [index for index in group if owned.get(index)]
        for index in group:
            if owned.get(index) or not given or not may_share(index):
                continue
            nearest = min(given, key=lambda each: (abs(each - index), each > index))
            owned[index] = list(owned[nearest])
