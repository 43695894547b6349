"""Data sets written byte by byte: also what pydicom would never write."""

from __future__ import annotations

import struct

from pydicom.datadict import dictionary_VR, tag_for_keyword

from tests.builders.files import uid

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")


def element(
    tag: int | str,
    value: bytes | str,
    *,
    vr: str = "",
    implicit: bool = False,
    length: int | None = None,
) -> bytes:
    """Encode one element, little endian.

    Parameters
    ----------
    tag
        Or a keyword.
    vr
        Of the dictionary if empty.
    length
        That the element claims; its real one if None.
    """
    number = tag_for_keyword(tag) if isinstance(tag, str) else tag
    vr = vr or dictionary_VR(number)
    content = value.encode() if isinstance(value, str) else value
    if len(content) % 2 and length is None:
        content += b"\0" if vr in ("UI", "OB", "UN") else b" "
    claimed = len(content) if length is None else length
    start = struct.pack("<HH", number >> 16, number & 0xFFFF)
    if implicit:
        return start + struct.pack("<I", claimed) + content
    if vr in LONG_VRS:
        return start + struct.pack("<2sxxI", vr.encode(), claimed) + content
    return start + struct.pack("<2sH", vr.encode(), claimed & 0xFFFF) + content


def item(content: bytes, *, defined: bool = True) -> bytes:
    """Encode one item of a sequence."""
    if defined:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    return struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + content + ITEM_END


def sequence(
    tag: int | str, *items: bytes, vr: str = "SQ", implicit: bool = False, defined: bool = False
) -> bytes:
    """Encode a sequence of items."""
    content = b"".join(items)
    if defined:
        return element(tag, content, vr=vr, implicit=implicit)
    return element(tag, content + SEQUENCE_END, vr=vr, implicit=implicit, length=UNDEFINED)


def identifiers(*, implicit: bool = False) -> dict[int, bytes]:
    """Encode the elements that every instance has, by tag."""
    values = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": uid("encoded", "instance"),
        "Modality": "CT",
        "PatientID": "P-1",
        "StudyInstanceUID": uid("encoded", "study"),
        "SeriesInstanceUID": uid("encoded", "series"),
    }
    return {
        tag_for_keyword(word): element(word, str(value), implicit=implicit)
        for word, value in values.items()
    }


def file_of(data_set: bytes, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Put a preamble and File Meta Information before an encoded data set."""
    meta = element(0x00020010, transfer_syntax_uid, vr="UI")
    length = element(0x00020000, struct.pack("<I", len(meta)), vr="UL")
    return b"\0" * 128 + b"DICM" + length + meta + data_set


def instance(*elements: bytes, implicit: bool = False) -> bytes:
    """Encode a file of an instance with more elements, all in order of their tags."""
    found = identifiers(implicit=implicit)
    for encoded in elements:
        group, number = struct.unpack_from("<HH", encoded)
        found[group << 16 | number] = encoded
    data_set = b"".join(found[tag] for tag in sorted(found))
    return file_of(data_set, IMPLICIT if implicit else EXPLICIT)
