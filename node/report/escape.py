"""HL7's escape sequences and formatting commands → plain lines (HL7 Section 2.7)."""

from __future__ import annotations

import re
from typing import Final

MOST_LINES: Final = 20
"""Blank lines that one command may ask for."""

_BREAKS: Final = re.compile(r"\.(br|sp|ce|sk)\s*[+]?(\d{0,6})", re.IGNORECASE)
_INDENTS: Final = re.compile(r"\.(in|ti|fi|nf)\s*[+-]?\d{0,6}", re.IGNORECASE)
_HEX: Final = re.compile(r"X(?:[0-9A-Fa-f]{2}){1,64}")


def text_of(field: str, separators: str, escape: str) -> str:
    r"""Turn a field of type TX, FT or ST into plain text.

    Repetitions, ``\.br\``, ``\.sp\`` and ``\.ce\`` become new lines; highlighting goes; the
    separators come back. A sequence that is not known is left out.

    Parameters
    ----------
    separators
        Of segments, fields, repetitions, components and subcomponents, in this order.
    escape
        The escape character, which cannot be a letter.
    """
    own = {
        "F": separators[1],
        "R": separators[2],
        "S": separators[3],
        "T": separators[4] if len(separators) > 4 else "&",
        "E": escape,
        "H": "",
        "N": "",
    }
    quoted = re.escape(escape)
    lines = field.replace(separators[2], "\n")
    return re.sub(
        rf"{quoted}([^{quoted}\n]{{0,200}}){quoted}",
        lambda match: own[match[1]] if match[1] in own else _command(match[1]),
        lines,
    )


def _command(sequence: str) -> str:
    if match := _BREAKS.fullmatch(sequence):
        return "\n" * min(max(int(match[2] or 1), 1), MOST_LINES)
    if _INDENTS.fullmatch(sequence):
        return ""
    if _HEX.fullmatch(sequence):
        read = bytes.fromhex(sequence[1:]).decode("utf-8", errors="replace")
        return read.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return ""
