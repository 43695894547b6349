"""Follow-up that a report asks for: which examination, when, on which condition."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nlp.document import Document, Sentence
from nlp.lexicon import Term
from nlp.match import Hit, longest
from nlp.types import Recommendation, Section

SECTIONS = frozenset(
    {
        Section.FINDINGS,
        Section.IMPRESSION,
        Section.RECOMMENDATION,
        Section.ADDENDUM,
        Section.UNKNOWN,
    }
)
VERBLESS_SECTIONS = SECTIONS - {Section.FINDINGS}
"""Where an examination that is only named can be one that is asked for."""

_WORDS_BEFORE = 4
"""The examination opens its clause, with so many words before it at most ("low-dose chest CT")."""

_NUMBERS = {
    "one": 1, "a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "eighteen": 18,
    "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9,
    "十": 10, "十二": 12, "半": 0.5,
}  # fmt: skip
_DAYS = {
    "hour": 1 / 24, "hr": 1 / 24, "day": 1, "week": 7, "wk": 7, "month": 30, "mo": 30, "year": 365,
    "yr": 365, "天": 1, "日": 1, "周": 7, "星期": 7, "月": 30, "年": 365, "小时": 1 / 24,
}  # fmt: skip
_COUNT = r"(?:\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_INTERVAL = re.compile(
    rf"(?<![\w.])(?P<low>{_COUNT})(?: ?(?:-|~|to|or|至|到) ?(?P<high>{_COUNT}))?[ -]?个?"
    rf"(?P<unit>{'|'.join(sorted(_DAYS, key=len, reverse=True))})s?(?![a-z])"
    rf"|(?<=[\u3400-\u9fff])(?P<low2>{_COUNT})(?:[-~至到](?P<high2>{_COUNT}))?个?"
    r"(?P<unit2>小时|星期|[天日周月年])"
)
_YEARLY = re.compile(r"\u5e74\u5ea6|\u6bcf\u5e74|\bannual(?:ly)?\b|\byearly\b")
_DUE = re.compile(r"\b(?:in|within|at|every|after) $")
_CLAUSE_END = re.compile(r"[,;.\u3002]|$")


def find_recommendations(document: Document) -> Iterator[Recommendation]:
    """Every recommendation of a report, in order; one per sentence that asks for something."""
    for sentence in document.sentences:
        if sentence.section not in SECTIONS:
            continue
        hits = _requests(sentence)
        if not hits and sentence.section in VERBLESS_SECTIONS:
            hits = _named_alone(document.folded.lower, sentence)
        if hits:
            yield _recommendation(document, sentence, hits)


def _requests(sentence: Sentence) -> list[Hit[Term]]:
    """What asks for something, save where a longer form says that it was done."""
    told = longest(
        [hit for hit in sentence.terms if hit.value.kind in {"request", "no_request", "done"}]
    )
    return [hit for hit in told if hit.value.kind != "done"]


def _named_alone(text: str, sentence: Sentence) -> list[Hit[Term]]:
    """The examination of a sentence that asks without a verb ("CT in 6 months.").

    It says when, on which condition or what for, and nothing of it was done.
    """
    named = longest([hit for hit in sentence.terms if hit.value.kind == "examination"])
    if not named:
        return []
    first = named[0]
    asks = any(
        hit.value.kind == "purpose" or (hit.value.kind == "condition" and hit.start >= first.end)
        for hit in sentence.terms
    )
    condition = min(
        (hit.start for hit in sentence.terms if hit.value.kind == "condition"),
        default=sentence.end,
    )
    clause = max(text.rfind(mark, sentence.body, first.start) for mark in ",;:.")
    before = text[max(clause + 1, sentence.body) : first.start].split()
    if len(before) > _WORDS_BEFORE or any(
        hit.value.kind == "done" and hit.start < condition for hit in sentence.terms
    ):
        return []
    return [first] if asks or _is_due(text, sentence, first) else []


def _is_due(text: str, sentence: Sentence, examination: Hit[Term]) -> bool:
    """Whether a time to come is named behind an examination, or that it is yearly."""
    if _YEARLY.search(text, sentence.body, sentence.end):
        return True
    match = _INTERVAL.search(text, examination.end, sentence.end)
    return match is not None and bool(_DUE.search(text, examination.end, match.start()))


def _recommendation(
    document: Document, sentence: Sentence, hits: list[Hit[Term]]
) -> Recommendation:
    folded = document.folded
    start, end = folded.to_source(sentence.body), folded.end_to_source(sentence.end)
    while start < end and document.source[start].isspace():
        start += 1
    return Recommendation(
        start=start,
        end=end,
        text=document.source[start:end],
        section=sentence.section,
        modality=_examination(sentence, hits[0].start),
        interval_days=_interval(folded.lower, sentence),
        condition=_condition(document, sentence),
        negated=any(hit.value.kind == "no_request" for hit in hits),
    )


def _examination(sentence: Sentence, request: int) -> str | None:
    """The examination nearest behind the request, else the nearest before it."""
    named = longest([hit for hit in sentence.terms if hit.value.kind == "examination"])
    nearest = min(
        named, key=lambda hit: (hit.start < request, abs(hit.start - request)), default=None
    )
    return nearest.value.id if nearest else None


def _interval(text: str, sentence: Sentence) -> tuple[int, int] | None:
    match = _INTERVAL.search(text, sentence.body, sentence.end)
    if match is None:
        yearly = _YEARLY.search(text, sentence.body, sentence.end)
        return (365, 365) if yearly else None
    low, high = match["low"] or match["low2"], match["high"] or match["high2"]
    days = _DAYS[match["unit"] or match["unit2"]]
    shortest = round(_count(low) * days)
    return shortest, round(_count(high) * days) if high else shortest


def _count(text: str) -> float:
    return float(text) if text.isdigit() else _NUMBERS[text]


def _condition(document: Document, sentence: Sentence) -> str | None:
    """The clause behind "if", as written."""
    for hit in sentence.terms:
        if hit.value.kind == "condition":
            stop = _CLAUSE_END.search(document.folded.lower, hit.end, sentence.end)
            end = stop.start() if stop else sentence.end
            first = document.folded.to_source(hit.end)
            clause = document.source[first : document.folded.end_to_source(end)].strip()
            return clause or None
    return None
