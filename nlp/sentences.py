"""Sentences of a folded text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

LONGEST = 1000
"""A longer sentence is cut, so that the work per mention has a bound."""

_END = re.compile(
    r"\.+(?=[\s\"')\]]|$)|(?<=[a-z)]{2})\.(?=[A-Z][a-z])|\u3002+"
    r"|(?<=[^\s(,:])[!?]+(?=[\s\"')\]\u3400-\u9fff]|$)|(?<=[\u3400-\u9fff)\dm%]);(?=[\s\d.\u3001()]{0,4}[\u3400-\u9fff])|(?<=[\u3400-\u9fff)])\.(?=[\u3400-\u9fff])"
    r"|\n\n|\n"
    r"|(?<=\s)(?=\(?\d{1,2}\)\s?[^\W\d])"
)
_WORD_BEFORE = re.compile(r"([^\s(]+)$")
_BULLET = re.compile(r"\s*(?:[-*\u2022#>]|\(?\d{1,2}[.)\u3001]|[A-Z(\u3400-\u9fff])")


def split_sentences(
    cased: str, start: int, end: int, *, abbreviations: Collection[str]
) -> Iterator[tuple[int, int]]:
    """Cut ``cased[start:end]`` into sentences, without the white space around them."""
    at = start
    for match in _END.finditer(cased, start, end):
        if match.start() < at or not _ends(cased, at, match, abbreviations):
            continue
        yield from _trimmed(cased, at, match.end())
        at = match.end()
    yield from _trimmed(cased, at, end)


def _ends(cased: str, at: int, match: re.Match[str], abbreviations: Collection[str]) -> bool:
    """Whether what looks like an end is one."""
    mark = match.group()
    if mark == "\n":
        return _line_ends(cased, at, match)
    if mark != ".":
        return True  # among them the empty mark before the "2)" of a list
    before = _WORD_BEFORE.search(cased, max(at, match.start() - 20), match.start())
    if before is None:
        return False
    word = before.group()
    if word.isdigit() and len(word) <= 2 and not cased[at : before.start()].strip():
        return False  # "1." opens an item
    if len(word) == 1 and word.isalpha() and word.isupper():
        return False  # an initial
    return word.lower() not in abbreviations


def _line_ends(cased: str, at: int, match: re.Match[str]) -> bool:
    """Whether a line break is more than the wrapping of a long line."""
    before = cased[max(at, match.start() - 1) : match.start()]
    if before in {"", ".", ":", ";", "\u3002"}:
        return True
    following = _BULLET.match(cased, match.end())
    if following is None:
        return False
    wrapped = match.start() - max(at, cased.rfind("\n", at, match.start())) > 55
    return not (wrapped and following.group().strip().isalpha())


def _trimmed(cased: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and cased[start].isspace():
        start += 1
    while start < end and cased[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = max(cased.rfind(" ", start + LONGEST // 2, start + LONGEST), start + LONGEST // 2)
        yield start, cut
        start = cut
    if start < end:
        yield start, end
