"""Headers made to hurt: each is read or refused within a bounded memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from node.store.header import header_of_file
from node.store.parser import MAX_READS
from tests.builders.encoded import (
    IMPLICIT,
    UNDEFINED,
    element,
    file_of,
    identifiers,
    instance,
    item,
    sequence,
)

MEMORY_MIB = 128
"""More address space than before the header was read; threads reserve 72 MiB of it."""

DEFLATED = "1.2.840.10008.1.2.1.99"
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
ROOT = Path(__file__).parents[2]


def nested(depth, *, implicit=False):
    opening = element("ReferencedImageSequence", b"", implicit=implicit, length=UNDEFINED)
    return instance((opening + OPEN_ITEM) * depth, implicit=implicit)


def many_items(count):
    return instance(sequence("ReferencedImageSequence", *[item(b"")] * count))


def unknown_character_sets():
    names = "\\".join(f"x{number}" for number in range(9000)).encode()
    hostile = element("SpecificCharacterSet", names, vr="UT")
    return instance(sequence("ReferencedImageSequence", *[item(hostile, defined=False)] * 100))


def bomb(data_set):
    """Some elements, and a gigabyte of zeros behind them, deflated to a megabyte."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = deflater.compress(data_set) + deflater.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, what was deflated once can be repeated as it is.
    zeros = deflater.compress(b"\0" * 2**20) + deflater.flush(zlib.Z_FULL_FLUSH)
    return file_of(start + zeros * 1024 + deflater.flush(), DEFLATED)


HOSTILE = {
    "10,000 sequences in one another": lambda: nested(10_000),
    "10,000 in implicit VR": lambda: nested(10_000, implicit=True),
    "a million empty items": lambda: many_items(1_000_000),
    "a value of 4 GB that is not there": lambda: instance(
        element("SeriesDescription", b"x", vr="UT", length=0xFFFFFFFE)
    ),
    "8 million numbers in one value": lambda: instance(
        element("InstanceNumber", b"1\\" * 8_000_000, implicit=True), implicit=True
    ),
    "a value of 100 MB": lambda: instance(
        element("SeriesDescription", b"x" * 100_000_000, implicit=True), implicit=True
    ),
    "900,000 names of character sets": unknown_character_sets,
    "2 million private elements": lambda: file_of(
        b"".join(identifiers(implicit=True).values())
        + element(0x00210000, b"", vr="UL", implicit=True) * 2_000_000,
        IMPLICIT,
    ),
    "a gigabyte of zeros, deflated": lambda: bomb(b""),
    "a gigabyte deflated before the identifiers": lambda: bomb(
        element(0x00090001, b"", vr="OB", length=2**30)
    ),
    "a gigabyte deflated inside a sequence": lambda: bomb(
        element("ReferencedImageSequence", b"", length=UNDEFINED) + OPEN_ITEM
    ),
}


def read_within(path, mebibytes, *reader):
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("limited.py"), path, str(mebibytes), *reader],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_read_or_refused_within_the_memory(tmp_path, name):
    path = tmp_path / "hostile.dcm"
    path.write_bytes(HOSTILE[name]())

    said = read_within(path, MEMORY_MIB)

    assert said.startswith(("read", "refused: "))
    assert "MemoryError" not in said


def test_pydicom_alone_needs_more_memory(tmp_path):
    path = tmp_path / "hostile.dcm"
    path.write_bytes(HOSTILE["a gigabyte of zeros, deflated"]())

    assert read_within(path, MEMORY_MIB, "pydicom") == "MemoryError\n"


def test_a_deflated_data_set_is_inflated_no_further_than_its_header(tmp_path):
    path = tmp_path / "deflated.dcm"
    data_set = b"".join(identifiers().values())
    path.write_bytes(bomb(data_set + element(0x7FE00010, b"", vr="OB", length=2**30)))

    assert header_of_file(path).attributes["Modality"] == "CT"
    assert read_within(path, MEMORY_MIB) == "read\n"


def test_a_long_sequence_that_a_real_device_could_write_is_read(tmp_path):
    path = tmp_path / "long.dcm"
    path.write_bytes(many_items(MAX_READS // 4))

    assert header_of_file(path).attributes["Modality"] == "CT"


def test_unknown_character_sets_leave_nothing_behind(tmp_path):
    """Python remembers each codec that it did not find, for ever."""
    from encodings import _cache

    path = tmp_path / "hostile.dcm"
    path.write_bytes(unknown_character_sets())
    header_of_file(path)
    before = len(_cache)

    header_of_file(path)

    assert len(_cache) == before
    assert not any(name.startswith("x8") for name in _cache)


def test_absurd_numbers_of_pixels_are_only_numbers(tmp_path):
    path = tmp_path / "absurd.dcm"
    path.write_bytes(
        instance(
            element("Rows", b"\xff\xff"),
            element("Columns", b"\xff\xff"),
            element("NumberOfFrames", "2147483647"),
        )
    )

    assert header_of_file(path).attributes["NumberOfFrames"] == 2147483647
