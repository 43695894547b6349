"""Header values as scanners write them: lists, padding, numbers as text, nothing at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_AGE: Final = re.compile(r"^(\d{1,3})([DWMY])$")
_YEARS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_SHOWN: Final = 40
_READ: Final = 1024
"""Characters of a text that are looked at; no attribute of `HEADER_FIELDS` is longer."""


def values_of(value: Any) -> list[Any]:
    """List the values of an element without the empty ones; text loses its padding."""
    if isinstance(value, Mapping | bytes):
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [one for item in value for one in values_of(item)]
    if isinstance(value, str):
        value = value[:_READ].strip(" \0\t\r\n")
    return [] if value is None or value == "" else [value]


def number_of(value: Any) -> float | None:
    """Read one value as a finite number, or None; an age (VR AS) counts in years."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and (age := _AGE.match(value.strip())):
        return int(age[1]) * _YEARS[age[2]]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numbers_of(value: Any, count: int) -> tuple[float, ...] | None:
    """Read an element as exactly `count` numbers, or None."""
    numbers = [number_of(one) for one in values_of(value)]
    known = tuple(number for number in numbers if number is not None)
    return known if len(known) == len(numbers) == count else None


def code_of(attributes: Mapping[str, Any], keyword: str) -> str:
    """Read the first value of an element as a code in capitals; empty if there is none."""
    values = values_of(attributes.get(keyword))
    return str(values[0]).upper() if values else ""


def codes_of(attributes: Mapping[str, Any], keyword: str) -> tuple[str, ...]:
    """Read all values of an element as codes in capitals."""
    return tuple(str(value).upper() for value in values_of(attributes.get(keyword)))


def shown(value: Any) -> str:
    """Write a value for a sentence: short, in one line, printable."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def series_label(series_instance_uid: str, attributes: Mapping[str, Any]) -> str:
    """Name a series without patient data: ``CT series 2 (1.2.840…)``.

    SeriesDescription is left out: people type into it.
    """
    modality = code_of(attributes, "Modality")
    if not re.fullmatch(r"[A-Z0-9_]{1,16}", modality):
        modality = "unknown"
    number = number_of(next(iter(values_of(attributes.get("SeriesNumber"))), None))
    known = "" if number is None else f" {number:g}"
    uid = "".join(char if char.isprintable() else "?" for char in series_instance_uid[:64])
    return f"{modality} series{known} ({uid})"
