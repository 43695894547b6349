"""What is wrong, or worth knowing, at one place of the configuration file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

Location: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the top of the file to one value."""


class Severity(StrEnum):
    """Whether a problem keeps the configuration from being used."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True)
class Problem:
    """One mistake (error), or one consequence the administrator should know (note).

    Parameters
    ----------
    line
        1-based line of the file; None where the file as a whole is meant.
    key
        Path of the key, such as ``receive.port`` or ``rules[0].when.Modality``; empty at
        the top.
    """

    line: int | None
    key: str
    message: str
    severity: Severity = Severity.ERROR

    def render(self, path: Path | str) -> str:
        """Write the problem as ``file:line: key: message``; a note says that it is one."""
        place = f"{path}" if self.line is None else f"{path}:{self.line}"
        parts = [place, "note" if self.severity is Severity.NOTE else "", self.key, self.message]
        return ": ".join(part for part in parts if part)


def key_path(location: Location) -> str:
    """Write a location the way administrators read it: ``rules[0].when.Modality``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def suggestion(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, or else which words there are."""
    known = sorted(set(known))
    by_lower = {name.lower(): name for name in known}
    if near := difflib.get_close_matches(word.lower(), by_lower, n=1):
        return f"; did you mean {by_lower[near[0]]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""
