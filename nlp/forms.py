"""The notation of surface forms: ``(a|b)`` is either, ``(a)`` is with or without, ``...`` a gap.

``nodule(s)`` is *nodule* and *nodules*. A group whose every choice has a space at its edge may be
left out: ``(left |right )lung`` is *lung*, *left lung* and *right lung*.
``heart ... (enlarged|large)`` is *heart* and, a few words away in the same clause, one of the two.
"""

from __future__ import annotations

import re
from itertools import product

GAP = "..."
_GROUP = re.compile(r"\(([^()]*)\)")
_FOLD = str.maketrans({"-": " ", "\n": " "})


def expand(form: str) -> list[str]:
    """Every string that a form without a gap stands for, in matching form."""
    pieces = _GROUP.split(form)
    choices: list[list[str]] = []
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            choices.append([piece])
        else:
            either = piece.split("|")
            choices.append(["", *either] if _may_be_left_out(either) else either)
    made = dict.fromkeys(matching_form("".join(each)) for each in product(*choices))
    return [each for each in made if each]


def _may_be_left_out(either: list[str]) -> bool:
    return (
        len(either) == 1
        or all(each.endswith(" ") for each in either)
        or all(each.startswith(" ") for each in either)
    )


def matching_form(text: str) -> str:
    """Fold a form as the text it is compared with is folded: lower case, dashes are spaces."""
    return " ".join(text.lower().translate(_FOLD).split())


def matching_text(lower: str) -> str:
    """Fold text for matching; the length stays."""
    return lower.translate(_FOLD)


def split_gap(form: str) -> tuple[list[str], list[str]] | None:
    """The two sides of a form with a gap, expanded; None if it has none."""
    if GAP not in form:
        return None
    first, second = form.split(GAP)
    return expand(first.strip()), expand(second.strip())
