"""The first bytes of a stored file: preamble and File Meta Information (PS3.10 Section 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache

IMPLEMENTATION_CLASS_UID = "2.25.147964205186410929911346430346110284365"
IMPLEMENTATION_VERSION_NAME = "WETREAD"

_PREAMBLE = b"\x00" * 128 + b"DICM"
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str
) -> bytes:
    """Encode preamble and File Meta Information for a received data set, values as they are."""
    before, after = _around(sop_class_uid, transfer_syntax_uid, calling_ae_title)
    instance = _element(0x0003, b"UI", sop_instance_uid, b"\x00")
    length = len(before) + len(instance) + len(after)
    return b"".join((_PREAMBLE, _GROUP_LENGTH, struct.pack("<L", length), before, instance, after))


@lru_cache(256)
def _around(
    sop_class_uid: str, transfer_syntax_uid: str, calling_ae_title: str
) -> tuple[bytes, bytes]:
    """Encode what is the same for many instances: before and after the SOP Instance UID."""
    before = _VERSION + _element(0x0002, b"UI", sop_class_uid, b"\x00")
    after = (
        _element(0x0010, b"UI", transfer_syntax_uid, b"\x00")
        + _IMPLEMENTATION
        + _element(0x0016, b"AE", calling_ae_title, b" ")
    )
    return before, after


def _element(element: int, vr: bytes, text: str, pad: bytes) -> bytes:
    value = text.encode("latin-1", "replace")
    if len(value) % 2:
        value += pad
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


_IMPLEMENTATION = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\x00") + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "
)
