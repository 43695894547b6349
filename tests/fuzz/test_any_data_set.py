"""Data sets that are well-formed but for one thing, or two."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from node.part10 import SPECIFIC_CHARACTER_SET
from node.store.elements import ELEMENTS
from tests.builders.encoded import (
    EXPLICIT,
    IMPLICIT,
    element,
    file_of,
    identifiers,
    item,
    sequence,
)
from tests.fuzz.header import check_header

_SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)

_TERMS = ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "GB18030", "GBK", "ISO_IR 13", "ISO_IR 138"]
_TERMS += ["\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 149", "ISO-IR 100", "utf8", "idna", "?"]
_TEXTS = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=12).map(lambda text: text.encode(errors="replace")),
    st.sampled_from([b"A\\B", b" A ", b"\\", b"A\0", b"\x1b$B6;It\x1b(B", b"\xe9", b"\x81\x5c"]),
)
_NUMBERS = st.one_of(
    st.floats().map(lambda number: repr(number).encode()),
    st.integers().map(lambda number: str(number).encode()),
    st.lists(st.decimals(places=2, allow_nan=False, allow_infinity=False), max_size=6).map(
        lambda numbers: "\\".join(map(str, numbers)).encode()
    ),
    st.text("0123456789+-.eE_ \\\0nainf", max_size=8).map(str.encode),
)
_VALUES = _TEXTS | _NUMBERS | st.binary(min_size=2, max_size=2)
_KNOWN_VRS = sorted({element.vr.decode() for element in ELEMENTS.values()})
_ANY_VR = st.sampled_from([*_KNOWN_VRS, "UN", "OB", "SQ", "UT", "PN", "FD", "??", "ZZ"])
_SEQUENCE_TAGS = st.sampled_from([0x00081140, 0x00082112, 0x00091010, 0x00189346, 0x00211001])


@st.composite
def _elements(draw, implicit):
    tag = draw(st.sampled_from(sorted(ELEMENTS)))
    vr = draw(st.just("") | _ANY_VR) if draw(st.integers(0, 9)) == 0 else ""
    return tag, element(tag, draw(_VALUES), vr=vr, implicit=implicit)


@st.composite
def _others(draw, implicit):
    tag = draw(st.sampled_from([0x00080000, 0x00090010, 0x00091001, 0x00101010, 0x00290010]))
    vr = draw(st.sampled_from(["UL", "LO", "OB", "UN", "AS", "UT"]))
    return tag, element(tag, draw(st.binary(max_size=20)), vr=vr, implicit=implicit)


@st.composite
def _sequences(draw, implicit, depth=3):
    tag = draw(_SEQUENCE_TAGS)
    is_unknown = draw(st.integers(0, 4)) == 0
    inner = implicit or is_unknown
    items = []
    for _ in range(draw(st.integers(0, 3))):
        parts = draw(st.lists(_elements(inner) | _others(inner), max_size=3))
        if depth and draw(st.booleans()):
            parts.append(draw(_sequences(inner, depth - 1)))
        if draw(st.integers(0, 4)) == 0:
            term = draw(st.sampled_from(_TERMS))
            parts.append((0, element(SPECIFIC_CHARACTER_SET, term, implicit=inner)))
        items.append(item(b"".join(part for _, part in parts), defined=draw(st.booleans())))
    vr = "UN" if is_unknown else "SQ"
    return tag, sequence(tag, *items, vr=vr, implicit=implicit, defined=draw(st.booleans()))


@st.composite
def _files(draw):
    implicit = draw(st.booleans())
    found = dict(identifiers(implicit=implicit))
    if draw(st.booleans()):
        term = draw(st.sampled_from(_TERMS))
        found[SPECIFIC_CHARACTER_SET] = element(SPECIFIC_CHARACTER_SET, term, implicit=implicit)
    any_element = _elements(implicit) | _others(implicit) | _sequences(implicit)
    found |= dict(draw(st.lists(any_element, max_size=12)))
    tags = sorted(found)
    if draw(st.integers(0, 9)) == 0:
        tags = draw(st.permutations(tags))
    return file_of(b"".join(found[tag] for tag in tags), IMPLICIT if implicit else EXPLICIT)


@_SETTINGS
@given(file_bytes=_files())
def test_any_data_set_reads_as_pydicom_reads_it(file_bytes):
    check_header(file_bytes)


@_SETTINGS
@given(file_bytes=_files(), data=st.data())
def test_any_length_may_lie(file_bytes, data):
    at = data.draw(st.integers(132, len(file_bytes) - 4))
    size = data.draw(st.sampled_from(["<H", "<I"]))
    lie = data.draw(st.integers(0, 256 ** struct.calcsize(size) - 1) | st.integers(0, 64))
    lying = bytearray(file_bytes)
    struct.pack_into(size, lying, at, lie)

    check_header(bytes(lying))


@_SETTINGS
@given(file_bytes=_files(), data=st.data())
def test_any_file_may_end_anywhere(file_bytes, data):
    check_header(file_bytes[: data.draw(st.integers(0, len(file_bytes)))])
