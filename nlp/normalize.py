"""Text as the matchers want it, and the way back to the text as given.

Characters are folded one for one (full width to half, traditional characters to simplified, dashes
to spaces, control characters to spaces, masks to ``x``), so that an offset stays an offset; only
runs of white space become shorter, and `Folded` knows where.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

from nlp.traditional import SIMPLIFIED

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_DASHES = "\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u301c\ufe58\ufe63\uff0d"
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u02bc": "'"}
_TIMES = "\u00d7\u2573\u2715\u2716\u2a2f\u04b3\u0445\u2217\u2731\ufe61\uff0a*"
"""What stands for the x between two dimensions."""

_RUN = re.compile(r"\s{2,}")
_DECIMAL = re.compile(
    r"(?<=\d)\u3002(?=\d{1,2} ?(?:mm|cm|x|\u00d7|\u6beb\u7c73|\u5398\u7c73))", re.IGNORECASE
)
"""A Chinese full stop typed for a decimal point: "1。2cm"."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_SIGN = re.compile(r"(?<=\w)\(([-+])\)")
_SIGNS = {"-": "为阴性", "+": "为阳性"}
"""Chinese shorthand behind a finding, in words of the same length: "积液(-)"."""
_DEIDENTIFIED = re.compile(r"\[\*\*[^\]\n]{0,80}\*\*\]|\*{3,}|_{3,}")


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text.

    Parameters
    ----------
    cased
        Folded, case kept.
    lower
        The same in lower case; the same length.
    starts, shifts
        From ``starts[i]`` on, an offset here is an offset in the source less ``shifts[i]``.
    """

    cased: str
    lower: str
    starts: tuple[int, ...]
    shifts: tuple[int, ...]

    def to_source(self, offset: int) -> int:
        """Offset in the text as given."""
        return offset + self.shifts[bisect_right(self.starts, offset) - 1]

    def end_to_source(self, end: int) -> int:
        """The same for an exclusive end: right behind the last character before it."""
        return self.to_source(end - 1) + 1 if end else 0

    def from_source(self, offset: int) -> int:
        """Offset here of an offset in the text as given; inside a shortened run, its end."""
        low, high = 0, len(self.starts)
        while low < high:
            middle = (low + high) // 2
            if self.starts[middle] + self.shifts[middle] <= offset:
                low = middle + 1
            else:
                high = middle
        index = max(low - 1, 0)
        here = offset - self.shifts[index]
        following = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.cased)
        return min(here, following)


@cache
def _table() -> dict[int, str | int]:
    table: dict[int, str | int] = dict(SIMPLIFIED)
    table |= {code: " " for code in range(0x20)}
    table |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
    table |= {code: " " for code in range(0x7F, 0xA1)}
    table |= {ord(each): "\n" for each in _BREAKS}
    table |= {ord(each): "-" for each in _DASHES}
    table |= {ord(each): "x" for each in _TIMES}
    table |= {ord(each): to for each, to in _QUOTES.items()}
    table |= {code: " " for code in (*range(0x2000, 0x2010), 0x202F, 0x205F, 0x3000, 0xFEFF)}
    for code in (*range(0xFF01, 0xFF5F), *range(0x2460, 0x2474), *range(0x00A1, 0x0180)):
        folded = unicodedata.normalize("NFKC", chr(code))
        if len(folded) == 1 and code not in table:
            table[code] = folded
    return table


def fold(text: str) -> Folded:
    """Fold a text; linear in its length.

    Lone surrogates (half of a broken pair) become the replacement character.
    """
    masked = _DEIDENTIFIED.sub(lambda match: "x" * len(match.group()), text)
    cased = masked.replace("\r\n", " \n").translate(_table())
    cased = _DECIMAL.sub(".", cased)
    if _HAN.search(cased):
        cased = _SIGN.sub(lambda match: _SIGNS[match[1]], cased)
    starts, shifts, parts = [0], [0], []
    at = dropped = 0
    for run in _RUN.finditer(cased):
        kept = _short(run.group())
        parts.append(cased[at : run.start()])
        parts.append(kept)
        at = run.end()
        dropped += len(run.group()) - len(kept)
        starts.append(at - dropped)
        shifts.append(dropped)
    parts.append(cased[at:])
    short = "".join(parts)
    lower = short.lower()
    if len(lower) != len(short):  # the few letters whose lower case is two characters
        lower = "".join(low if len(low := each.lower()) == 1 else each for each in short)
    return Folded(short, lower, tuple(starts), tuple(shifts))


def _short(run: str) -> str:
    """What a run of white space becomes: a space, a line break, or an empty line."""
    breaks = run.count("\n")
    return "\n\n" if breaks > 1 else "\n" if breaks else " "
