"""A compressed frame is looked at before a codec gets it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.codestream import check_codestream, read_codestream
from node.errors import PermanentError

APP0 = b"\xff\xe0" + struct.pack(">H", 6) + b"JFIF"


def jpeg(rows=10, columns=20, components=1, marker=0xC3, end=b"\xff\xd9"):
    header = struct.pack(">BBHBHHB", 0xFF, marker, 11, 12, rows, columns, components)
    return b"\xff\xd8" + APP0 + header + bytes(30) + end


def j2k(rows=10, columns=20, components=1, offset=0):
    size = struct.pack(
        ">HHIIIIIIIIH",
        41, 0, columns + offset, rows + offset, offset, offset, 64, 64, 0, 0, components,
    )  # fmt: skip
    return b"\xff\x4f\xff\x51" + size + bytes(30) + b"\xff\xd9"


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC3, 0xF7])
def test_the_size_is_read_from_jpeg_and_jpeg_ls(marker):
    assert read_codestream(jpeg(10, 20, marker=marker))[:3] == (10, 20, 1)


@pytest.mark.parametrize("offset", [0, 5])
def test_the_size_is_read_from_jpeg_2000(offset):
    assert read_codestream(j2k(10, 20, offset=offset))[:3] == (10, 20, 1)


def test_a_jpeg_2000_file_around_the_codestream_is_seen_through():
    assert read_codestream(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(70) + j2k())[:3] == (10, 20, 1)


def test_a_whole_frame_of_the_right_size_passes_with_its_padding():
    for frame in (jpeg(), j2k()):
        for padding in (b"", b"\0", b"\xff", b"\0\0\0"):
            check_codestream(frame + padding, rows=10, columns=20)


def test_a_frame_without_its_end_is_refused():
    with pytest.raises(PermanentError, match="truncated: its end marker is missing"):
        check_codestream(jpeg(end=b"\x12\x34"), rows=10, columns=20)


@pytest.mark.parametrize("frame", [jpeg(60000, 60000), j2k(60000, 60000), jpeg(components=3)])
def test_a_frame_of_another_size_is_refused(frame):
    with pytest.raises(PermanentError, match="expected Rows 10, Columns 20 and 1"):
        check_codestream(frame, rows=10, columns=20)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\xff\xd8\xff" + tail))
def test_noise_is_refused_and_nothing_else_happens(noise):
    with pytest.raises(PermanentError):
        check_codestream(noise, rows=10, columns=20)
