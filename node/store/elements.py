"""The elements that the index keeps, and their values as Python has them.

The decoders give what pydicom gives, value for value and type for type, or raise `Unsure`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword

from node.config.fields import HEADER_FIELDS
from node.part10 import Unsure

Value: TypeAlias = str | int | float | list[str] | list[int] | list[float]

IDENTIFIERS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")

PATIENT: Final = ("PatientID", "IssuerOfPatientID")
"""Elements that tell patients apart (PS3.3 Section C.2.2); only their digest is kept."""

KEYWORDS: Final = tuple(word for word in HEADER_FIELDS if word not in IDENTIFIERS)
"""Elements that rules may look at without opening the file again."""

_MAX_EXACT: Final = 2**53
"""Beyond, a float no longer tells neighbouring integers apart, and pydicom gives floats."""


class Header(NamedTuple):
    """Identifiers and rule elements of one instance.

    Parameters
    ----------
    attributes
        By keyword: str, int, float, or a list of them. Empty elements are absent.
    patient
        Same patient, same text, as `patient_digest` makes it; "" where nobody is named.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    attributes: Mapping[str, Any]
    patient: str


class Element(NamedTuple):
    """A wanted element: its keyword, its VR, and what turns its bytes and codec into a value."""

    keyword: str
    vr: bytes
    decode: Callable[[bytes, str], Value]


def _text(value: bytes, codec: str) -> Value:
    if b"\x1b" in value:
        raise Unsure
    return _one_or_list([part.rstrip("\0 ") for part in value.decode(codec).split("\\")])


def _code(value: bytes, _: str) -> Value:
    return _one_or_list(value.decode("latin_1").rstrip(" \0").split("\\"))


def _one_or_list(parts: list[str]) -> Value:
    plain = [part.strip().rstrip("\0") for part in parts]
    return plain[0] if len(plain) == 1 else plain


def _uid(value: bytes, _: str) -> Value:
    value = value.rstrip(b"\0 ")
    if value.translate(None, b"0123456789."):
        raise Unsure
    return value.decode("ascii")


def _decimal_string(value: bytes, _: str) -> Value:
    # Python reads more as a number than DICOM does: underscores, "nan", other digits.
    if value.translate(None, b"0123456789+-.eE \\"):
        raise Unsure
    numbers = [float(part) for part in value.split(b"\\")]
    if not all(map(math.isfinite, numbers)):
        raise Unsure
    return numbers[0] if len(numbers) == 1 else numbers


def _integer_string(value: bytes, _: str) -> Value:
    if value.translate(None, b"0123456789+- \\"):
        raise Unsure
    numbers = [int(part) for part in value.split(b"\\")]
    if any(abs(number) > _MAX_EXACT for number in numbers):
        raise Unsure
    return numbers[0] if len(numbers) == 1 else numbers


def _unsigned_short(value: bytes, _: str) -> Value:
    if len(value) != 2:
        raise Unsure
    return int.from_bytes(value, "little")


_DECODERS: Final = {
    "AS": _code,
    "CS": _code,
    "DS": _decimal_string,
    "IS": _integer_string,
    "LO": _text,
    "SH": _text,
    "UI": _uid,
    "US": _unsigned_short,
}


def _elements() -> dict[int, Element]:
    elements = {}
    for keyword in (*IDENTIFIERS, *PATIENT, *KEYWORDS):
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise LookupError(f"{keyword} is no DICOM keyword")
        vr = dictionary_VR(tag)
        elements[tag] = Element(keyword, vr.encode("ascii"), _DECODERS[vr])
    return elements


ELEMENTS: Final = _elements()
"""By tag."""

LAST_TAG: Final = max(ELEMENTS)
"""Elements come in ascending order (PS3.5 Section 7.1): what follows need not be read."""
