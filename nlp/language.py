"""Which language a text, or a sentence of it, is written in."""

from __future__ import annotations

import re

_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[a-z]+", re.IGNORECASE)


def language_of(text: str) -> str:
    """``zh`` if there are more Han characters than Latin words, else ``en``."""
    head = text[:20_000]
    return "zh" if len(_HAN.findall(head)) > len(_LATIN.findall(head)) else "en"


def has_han(text: str) -> bool:
    """Whether there is a Han character in it."""
    return _HAN.search(text) is not None


def language_of_sentence(text: str, default: str) -> str:
    """The language of one sentence; of one without letters, the report's."""
    if has_han(text):
        return "zh"
    return "en" if _LATIN.search(text) else default
