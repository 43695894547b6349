"""Element values of a source header as plain Unicode, whatever its character set really is.

Scanners write names in every character set of PS3.5 Section 6.1, some announce none, some
announce the wrong one, and pydicom answers with replacement characters and warnings. Here
the announced set is tried first, then UTF-8, then Latin-1, which reads any byte.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

_ONE_VALUE = {"LT", "ST", "UT", "UR"}
"""Value representations in which a backslash is text."""

_DELIMITERS = {0x5C, 0x5E, 0x3D, 0x0D, 0x0A, 0x0C}
"""Bytes that return a code extension to its initial state (PS3.5 Section 6.1.2.5.3)."""

_CODE_EXTENSION = "ISO 2022"


def text_values(ds: Dataset, keyword: str) -> list[str]:
    r"""Read the values of a text, number, date or UID element.

    Parameters
    ----------
    ds
        The data set of the source, or an item of one of its sequences; read by pydicom
        or made in memory. It is not changed, and its values are not validated.
    keyword
        Of an element that holds characters.

    Returns
    -------
    list of str
        The values between the backslashes, without padding; empty where the element is
        absent, empty or not characters.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in ds:
        return []
    value = ds.get_item(tag).value
    if value is None:
        return []
    text = _as_text(value, _character_sets(ds))
    if text is None:
        return []
    vr = dictionary_VR(tag)
    parts = [text] if vr in _ONE_VALUE else text.split("\\")
    stripped = [part.rstrip(" \0") if vr in _ONE_VALUE else part.strip(" \0") for part in parts]
    return stripped if any(stripped) else []


def text_value(ds: Dataset, keyword: str) -> str:
    """Read the first value of a text element; empty where there is none."""
    values = text_values(ds, keyword)
    return values[0] if values else ""


def numbers(ds: Dataset, keyword: str, count: int) -> list[float] | None:
    """Read the numbers of a DS or IS element, however long their digits are.

    Returns
    -------
    list of float or None
        None unless there are exactly `count` finite numbers.
    """
    try:
        found = [float(value) for value in text_values(ds, keyword)]
    except ValueError:
        return None
    finite = all(abs(number) < float("inf") for number in found)
    return found if len(found) == count and finite else None


def _as_text(value: Any, character_sets: Sequence[str]) -> str | None:
    if isinstance(value, PersonName):
        original = value.original_string
        return _decode(original, character_sets) if isinstance(original, bytes) else str(value)
    if isinstance(value, bytes):
        return _decode(value, character_sets)
    if isinstance(value, str):
        return _repair(str(value), character_sets)
    if isinstance(value, Sequence):
        parts = [_as_text(part, character_sets) for part in value]
        return "\\".join(part for part in parts if part is not None)
    if isinstance(value, Dataset):
        return None
    return str(value)


def _character_sets(ds: Dataset) -> list[str]:
    """Character sets of a data set or, for an item of a sequence, of what it is in."""
    declared = ds.get("SpecificCharacterSet", None)
    if declared is None:
        # pydicom hands the Python encodings of the outer data set down to its items.
        inherited = getattr(ds, "_parent_encoding", None) or []
        known = {encoding: term for term, encoding in reversed(python_encoding.items())}
        listed = [inherited] if isinstance(inherited, str) else list(inherited)
        return [known[encoding] for encoding in listed if encoding in known]
    listed = [declared] if isinstance(declared, str) else list(declared)
    return [str(term).strip() for term in listed]


def _decode(value: bytes, character_sets: Sequence[str]) -> str:
    if b"\x1b" not in value and value.isascii():
        return value.decode("ascii")
    encodings = [python_encoding[term] for term in character_sets if term in python_encoding]
    if any(character_sets) and encodings:
        try:
            return _decode_strictly(value, encodings, character_sets)
        except (UnicodeError, LookupError, Warning, ValueError):
            encodings = []
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _decode_strictly(value: bytes, encodings: list[str], character_sets: Sequence[str]) -> str:
    if not any(term.startswith(_CODE_EXTENSION) for term in character_sets):
        return value.decode(encodings[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns where it puts replacement characters
        text: str = decode_bytes(value, encodings, _DELIMITERS)
    # pydicom leaves the designation of a G1 set before what it decodes (PS3.5 Section 6.1.2.5).
    return text.replace("\x1b$)A", "").replace("\x1b$)C", "")


def _repair(text: str, character_sets: Sequence[str]) -> str:
    """Undo pydicom's Latin-1 reading of UTF-8 in a data set that announces no character set."""
    if any(character_sets) or text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
