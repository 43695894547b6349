"""A header that is walked by lengths is the header that pydicom reads."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from node.dicom.file import WINDOWS_BYTES, HeaderReader, read_header
from node.dicom.header import lenient
from node.errors import PermanentError
from tests.builders import ct_series, enhanced_ct, radiograph, write

BUNDLED = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


def as_pydicom_reads(path):
    """The header by pydicom alone: without pixels, overlays, and what cannot be decoded."""
    ds = dcmread(path, stop_before_pixels=True)
    for tag in list(ds.keys()):
        if tag.group == 0x7FE0 or (tag.group & 0xFF01 == 0x6000 and tag.elem == 0x3000):
            del ds[tag]
            continue
        try:
            values = ds[tag].value
        except (ValueError, TypeError, NotImplementedError, ArithmeticError):
            del ds[tag]
            continue
        if ds[tag].VR in ("DS", "IS"):
            several = values if ds[tag].VM > 1 else [values]
            if any(isinstance(value, str) and value for value in several):
                del ds[tag]
    return ds


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.name)
def test_every_bundled_header_is_what_pydicom_reads(path):
    with lenient():
        try:
            expected = as_pydicom_reads(path)
        except Exception:  # noqa: BLE001 - pydicom raises anything; ours must be refused
            with pytest.raises(PermanentError):
                read_header(path)
            return
        found = read_header(path)

        assert set(found.keys()) == set(expected.keys())
        for element in expected:
            if element.tag.group % 2 == 0:
                assert found[element.tag].value == element.value, element.keyword
        assert found.file_meta.get("TransferSyntaxUID") == expected.file_meta.get(
            "TransferSyntaxUID"
        )


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_sequences_of_both_kinds_of_length_are_walked(tmp_path, syntax):
    image = enhanced_ct(slices=3)
    image.SharedFunctionalGroupsSequence.is_undefined_length = True
    image.PerFrameFunctionalGroupsSequence.is_undefined_length = True
    for item in image.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = True
    if syntax is not None:
        image.file_meta.TransferSyntaxUID = syntax
    (path,) = write(image, tmp_path)

    found = HeaderReader().read(path)

    assert found.pixels is not None
    del image.PixelData
    assert found.header == image


def test_names_are_read_in_their_character_set(tmp_path):
    name = b"\xbb\xee\xda".decode("iso8859_5")
    image = radiograph(SpecificCharacterSet="ISO_IR 144", PatientName=name)
    (path,) = write(image, tmp_path)

    assert read_header(path).PatientName == name


def test_a_header_longer_than_the_first_window_is_read_whole(tmp_path):
    image = radiograph()
    image.add_new(0x00290010, "LO", "BUILDER")
    image.add_new(0x00291010, "OB", bytes(2 * WINDOWS_BYTES[0]))
    (path,) = write(image, tmp_path)

    found = HeaderReader().read(path)

    assert found.pixels is not None
    assert found.header[0x00291010].value == bytes(2 * WINDOWS_BYTES[0])


def test_slices_do_not_share_what_one_of_them_changes(tmp_path):
    reader = HeaderReader()
    one, other = (reader.read(path).header for path in write(ct_series(slices=2), tmp_path))

    one.Manufacturer = "Changed"

    assert other.Manufacturer == "Builder"


def test_a_value_that_cannot_be_decoded_is_left_out_of_every_slice(tmp_path):
    paths = write(ct_series(slices=3, KVP="120"), tmp_path)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"DS\x04\x00120 ", b"DS\x04\x00a lo"))
    reader = HeaderReader()

    with lenient():
        headers = [reader.read(path).header for path in paths]

    assert not any("KVP" in header for header in headers)
