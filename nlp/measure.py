"""Sizes in a text, in mm: ``12 x 10 mm``, ``1.2 x 0.8 x 0.5 cm``, ``5-6 mm``, ``约12mm×10mm``.

No size are: uptake and density (SUV, HU), series and image numbers, vertebra levels, dates (none
of them has a unit of length), slice thickness, and distances ("3 cm above the carina").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nlp.lexicon import Term
from nlp.match import Hit

_NUMBER = r"(?:\d{1,4}(?:[.,]\d{1,3})?|\.\d{1,3})"
_UNIT = (
    r"(?:mm|cm|\u339c|\u339d|millimet(?:er|re)s?|centimet(?:er|re)s?|"
    r"\u6beb\u7c73|\u5398\u7c73|\u516c\u5206|\u516c\u5398|m\.m\.|c\.m\.|c m|m m)"
)
_BY = r"(?:x|by|\u4e58)"  # an area ("3 x 2 cm2") gives its two dimensions
_AXIS = r"(?:\((?:ap|tr|cc|tv|si|ml|trans|l|w|h)\) ?)?"
_SIZE = re.compile(
    rf"(?<![a-z0-9_.])(?P<first>{_NUMBER}) ?(?P<unit1>{_UNIT})?"
    rf"(?: ?{_AXIS}{_BY} ?(?P<second>{_NUMBER}) ?[()]?(?P<unit2>{_UNIT})?(?:(?<=m)2(?!\d))?)?"
    rf"(?: ?{_AXIS}{_BY} ?(?P<third>{_NUMBER}) ?(?P<unit3>{_UNIT})?)?"
    rf"(?: ?(?:-|~|\u301c|to|\u81f3|\u5230) ?(?P<last>{_NUMBER}) ?(?P<unit4>{_UNIT}))?"
    r"(?![a-z0-9/\u00b2\u00b3]|\^)"
)
_SMALL_WORDS = re.compile(
    r"(?:最大径|大小|长径|短径|直径|[约为是示片次径\s(:x\d.\u5e74\u6708\u65e5/-])*+"
)
"""What may stand between a Chinese word for the prior study and its size: "前片(2020年)约"."""
_MM = frozenset({"mm", "\u339c", "\u6beb\u7c73", "m.m.", "m m"})
LARGEST_MM = 1000.0
"""Whatever is longer is no size of a finding."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One size: where, and its dimensions in mm; ``prior`` if it is of an earlier study."""

    start: int
    end: int
    values_mm: tuple[float, ...]
    prior: bool = False


def find_measures(text: str, start: int, end: int, terms: Sequence[Hit[Term]]) -> list[Measure]:
    """Every size in ``text[start:end]``, in order.

    Parameters
    ----------
    text
        Folded text in lower case (dashes not yet spaces).
    terms
        Term hits of the sentence: words before a size (``prior_size``, ``no_size``) and behind it
        (``distance``) say what it is.
    """
    found: list[Measure] = []
    for match in _SIZE.finditer(text, start, end):
        for values in _values(match):
            measure = Measure(match.start(), match.end(), values)
            if max(values) <= LARGEST_MM and not _is_no_size(text, measure, terms):
                found.append(measure)
    return _with_prior(text, found, [hit for hit in terms if hit.value.kind == "prior_size"])


def _values(match: re.Match[str]) -> Iterator[tuple[float, ...]]:
    units = [match[name] for name in ("unit1", "unit2", "unit3", "unit4")]
    given = [unit for unit in units if unit]
    if not given:
        return
    numbers, scales = [], []
    for name, unit in zip(("first", "second", "third"), units, strict=False):
        if match[name]:
            numbers.append(_number(match[name]))
            scales.append(unit)
    in_mm = []
    for index, (number, unit) in enumerate(zip(numbers, scales, strict=True)):
        unit = unit or next((each for each in units[index:] if each), given[-1])
        in_mm.append(round(number * (1.0 if _is_mm(unit) else 10.0), 2))
    yield tuple(in_mm)
    if match["last"]:
        scale = 1.0 if _is_mm(match["unit4"]) else 10.0
        yield (round(_number(match["last"]) * scale, 2),)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _is_mm(unit: str) -> bool:
    return unit in _MM or unit.startswith("milli")


def _is_no_size(text: str, measure: Measure, terms: Sequence[Hit[Term]]) -> bool:
    for hit in terms:
        if hit.value.kind == "no_size":
            if 0 <= measure.start - hit.end <= 12 and _is_link(text[hit.end : measure.start]):
                return True
            if 0 <= hit.start - measure.end <= 2:
                return True
        if hit.value.kind == "distance" and 0 <= hit.start - measure.end <= 2:
            return True
    return False


def _is_link(between: str) -> bool:
    """Whether only a few small words stand between, and no digit or comma."""
    return not re.search(r"[\d,;.]", between)


def _leads_to(between: str, hit: Hit[Term], text: str) -> bool:
    """Whether a word of an earlier study is still meant at the size behind it."""
    if text[hit.start] >= "\u2e80":
        return _SMALL_WORDS.fullmatch(between) is not None
    return not re.search(r"[;.]|\bnow\b", between)


def _with_prior(
    text: str, measures: Sequence[Measure], words: Sequence[Hit[Term]]
) -> list[Measure]:
    """Mark the sizes that a word right before them gives to an earlier study."""
    marked = []
    last_end = 0
    for measure in measures:
        before = [
            hit
            for hit in words
            if last_end <= hit.start and hit.end <= measure.start and measure.start - hit.end <= 30
        ]
        prior = any(_leads_to(text[hit.end : measure.start], hit, text) for hit in before)
        marked.append(replace(measure, prior=prior))
        last_end = measure.end
    return marked
