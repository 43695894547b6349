"""The scanner says what pydicom says, or nothing."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.multival import MultiValue
from pydicom.uid import ImplicitVRLittleEndian

from node.errors import PermanentError
from node.store.header import header_of_file, read_header
from node.store.scanner import MAX_WINDOWS, WINDOW_BYTES, scan
from tests.builders import ct_series
from tests.builders.encoded import (
    EXPLICIT,
    SEQUENCE_END,
    element,
    file_of,
    identifiers,
    instance,
    item,
    sequence,
)
from tests.builders.radiograph import radiograph
from tests.builders.tools import need
from tests.fuzz.header import check_header, parsed, scanned

SIBLING = "SourceImageSequence"
ITEMS = element("ReferencedSOPClassUID", "1.2") + element("ReferencedSOPInstanceUID", "1.2.3")
ITEMS_IMPLICIT = element("ReferencedSOPClassUID", "1.2", implicit=True)


def files_below(package, folder="."):
    found = find_spec(package)
    need(None if found else f"the package {package} is not installed")
    below = Path(found.origin).parent / folder
    return sorted(path for path in below.rglob("*") if path.is_file())


def saved(ds, transfer_syntax=None):
    if transfer_syntax is not None:
        ds.file_meta.TransferSyntaxUID = transfer_syntax
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True, implicit_vr=transfer_syntax is not None)
    return stream.getvalue()


def plain(value):
    if isinstance(value, MultiValue | list):
        return [plain(item) for item in value]
    return value.strip().rstrip("\0") if isinstance(value, str) else value


def assert_scanned(file_bytes):
    answer = scanned(file_bytes)
    assert answer is not None
    assert answer == parsed(file_bytes)


def assert_left_to_pydicom(file_bytes):
    assert scanned(file_bytes) is None
    parsed(file_bytes)


def test_every_file_of_pydicom_reads_the_same():
    files = [path for path in files_below("pydicom", "data") if path.suffix != ".pyc"]
    answers = 0
    for path in files:
        check_header(path.read_bytes())
        answers += scanned(path.read_bytes()) is not None
    # Palettes and directories have no identifiers, and some files are broken on purpose.
    assert answers > 50


@pytest.mark.data
def test_every_file_of_pydicom_data_reads_the_same():
    files = files_below("data_store", "data")
    answers = 0
    for path in files:
        check_header(path.read_bytes())
        answers += scanned(path.read_bytes()) is not None
    assert answers > 0.7 * len(files)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("package", ["pydicom", "data_store"])
def test_the_bounds_on_pydicom_change_nothing_for_real_files(package):
    compared = 0
    for path in files_below(package, "data"):
        try:
            header = read_header(BytesIO(path.read_bytes()))
        except PermanentError:
            continue
        ds = dcmread(path, stop_before_pixels=True)
        assert header.sop_instance_uid == ds.SOPInstanceUID
        for keyword, value in header.attributes.items():
            assert plain(ds.get(keyword)) == plain(value), (path, keyword)
        compared += 1
    assert compared > 50


@pytest.mark.parametrize("transfer_syntax", [None, ImplicitVRLittleEndian])
@pytest.mark.parametrize("build", [ct_series, radiograph])
def test_our_own_images_are_scanned(build, transfer_syntax):
    built = build()
    for ds in built if isinstance(built, list) else [built]:
        assert_scanned(saved(ds, transfer_syntax))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("inner_defined", [False, True])
@pytest.mark.parametrize("defined", [False, True])
def test_sequences_are_walked_over(implicit, inner_defined, defined):
    inner = sequence(
        "PurposeOfReferenceCodeSequence",
        item(element("CodeValue", "1", implicit=implicit), defined=inner_defined),
        item(b"", defined=inner_defined),
        implicit=implicit,
        defined=defined,
    )
    outer = sequence(
        "ReferencedImageSequence",
        item(element("ReferencedSOPClassUID", "1.2", implicit=implicit) + inner, defined=defined),
        implicit=implicit,
        defined=defined,
    )

    assert_scanned(instance(outer, implicit=implicit))


def test_a_delimiter_inside_a_value_ends_no_sequence():
    hidden = element(0x00091001, SEQUENCE_END + b"\xfe\xff\x0d\xe0\0\0\0\0", vr="OB")
    outer = sequence("ReferencedImageSequence", item(hidden, defined=False))

    assert_scanned(instance(outer))


def test_an_unknown_sequence_has_implicit_items():
    assert_scanned(instance(sequence(0x00091010, item(ITEMS_IMPLICIT, defined=False), vr="UN")))


def test_a_private_sequence_in_implicit_vr_is_known_by_its_items():
    assert_scanned(
        instance(
            sequence(0x00091010, item(ITEMS_IMPLICIT, defined=False), implicit=True), implicit=True
        )
    )


def test_group_lengths_and_private_elements_are_skipped():
    assert_scanned(
        instance(
            element(0x00080000, struct.pack("<I", 400), vr="UL"),
            element(0x00090010, "ACME 1.0", vr="LO"),
            element(0x00091001, b"\x01\x02\x03\x04", vr="OB"),
        )
    )


@pytest.mark.parametrize("size", [1, WINDOW_BYTES - 600, WINDOW_BYTES, 3 * WINDOW_BYTES])
def test_long_private_elements_before_the_last_wanted_one_are_skipped(size):
    data = instance(
        element(0x00290010, "ACME CSA", vr="LO"),
        element(0x00291010, b"\x07" * size, vr="OB"),
        sequence(0x00321064, item(element("CodeValue", "CT1"), defined=False)),
        element("RequestedProcedureDescription", "Chest"),
    )

    assert_scanned(data)
    assert "Chest" in str(scanned(data))


def test_a_sequence_across_the_end_of_the_window_is_walked_over():
    before = element(0x00091001, b"\x07" * (WINDOW_BYTES - 900), vr="OB")
    many = sequence("ReferencedImageSequence", *[item(ITEMS, defined=False)] * 20)

    assert_scanned(instance(before, many))


def test_what_is_too_far_away_is_left_to_pydicom():
    far = [
        element(0x00290000 + number, b"\x07" * WINDOW_BYTES, vr="OB")
        for number in range(0x1000, 0x1000 + MAX_WINDOWS)
    ]

    assert_left_to_pydicom(instance(*far))


@pytest.mark.parametrize(
    ("character_set", "codec"),
    [
        ("", "latin_1"),
        ("ISO_IR 6", "latin_1"),
        ("ISO_IR 100", "latin_1"),
        ("ISO_IR 144", "iso8859_5"),
        ("ISO_IR 192", "utf_8"),
        ("GB18030", "gb18030"),
        ("GBK", "gbk"),
        ("ISO_IR 13", "shift_jis"),
        ("\\ISO 2022 IR 87", "latin_1"),
    ],
)
def test_text_is_decoded_by_its_character_set(character_set, codec):
    text = {"utf_8": "Thörax 胸部", "gb18030": "胸部 𠀀", "gbk": "胸部", "iso8859_5": "Грудь"}
    description = text.get(codec, "Thorax" if codec == "shift_jis" else "Thörax")
    data = instance(
        element("SpecificCharacterSet", character_set),
        element("StudyDescription", f"{description}\\{description} ".encode(codec)),
    )

    assert_scanned(data)
    assert repr([description, description]) in str(scanned(data))


@pytest.mark.parametrize(
    ("character_set", "value"),
    [
        ("ISO_IR 192", b"\xff\xfe broken"),
        ("\\ISO 2022 IR 87", b"\x1b$B6;It\x1b(B"),
        ("ISO_IR 999", b"Thorax"),
        ("utf8", "Thörax".encode()),
    ],
)
def test_text_that_needs_care_is_left_to_pydicom(character_set, value):
    assert_left_to_pydicom(
        instance(element("SpecificCharacterSet", character_set), element("StudyDescription", value))
    )


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImageType", "ORIGINAL\\PRIMARY\\"),
        ("ImageType", "\\"),
        ("ImageType", " ORIGINAL \\ PRIMARY "),
        ("Manufacturer", " \0"),
        ("Manufacturer", "ACME\0\0"),
        ("Manufacturer", "\xa0ACME\x1f"),
        ("SliceThickness", " +1.5E-1 "),
        ("ImagePositionPatient", "-1.\\.5\\3e2"),
        ("InstanceNumber", " +007 "),
        ("InstanceNumber", "1\\2"),
        ("InstanceNumber", ""),
        ("Rows", b"\x00\x02"),
        ("FrameOfReferenceUID", "1.2.3\0\0"),
        ("PatientAge", "042Y"),
        ("PatientID", "A\\B"),
        ("PatientID", ""),
    ],
)
def test_values_have_the_same_types_and_padding(keyword, value):
    assert_scanned(instance(element(keyword, value)))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SliceThickness", "1,5"),
        ("SliceThickness", "1_5"),
        ("SliceThickness", "nan"),
        ("SliceThickness", "1e999"),
        ("SliceThickness", "1.5\0"),
        ("ImagePositionPatient", "1\\\\3"),
        ("InstanceNumber", "1.0"),
        ("InstanceNumber", "1.5"),
        ("InstanceNumber", "9007199254740993"),
        ("InstanceNumber", "9" * 5000),
        ("Rows", b"\x00\x02\x00\x02"),
        ("FrameOfReferenceUID", "1.2.x"),
        ("StudyInstanceUID", "1.2\\1.3"),
        ("StudyInstanceUID", "../../etc"),
        ("SeriesDescription", "x" * 5000),
    ],
)
def test_strange_values_are_left_to_pydicom(keyword, value):
    assert_left_to_pydicom(instance(element(keyword, value)))


def test_another_vr_than_the_dictionarys_is_left_to_pydicom():
    assert_left_to_pydicom(instance(element("SliceThickness", "1.5", vr="LO")))


def test_elements_out_of_order_or_twice_are_left_to_pydicom():
    ordered = list(identifiers().values())

    assert_left_to_pydicom(file_of(b"".join(reversed(ordered))))
    assert_left_to_pydicom(file_of(b"".join([*ordered, ordered[-1]])))


def test_an_identifier_behind_the_last_wanted_element_is_found_all_the_same():
    first, *rest = identifiers().values()
    data = file_of(b"".join([*rest, element(0x00400009, "STEP", vr="SH"), first]))

    assert_left_to_pydicom(data)
    assert "sop_class_uid='1.2.840" in parsed(data)


def test_what_follows_the_last_wanted_element_is_not_looked_at(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(instance(element(0x00400009, "STEP", vr="SH")) + b"\xff" * 99)

    assert header_of_file(path).attributes["Modality"] == "CT"
    check_header(path.read_bytes())


@pytest.mark.parametrize("claimed", [0x10000, 0x7FFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("keyword", ["SeriesDescription", "ImageComments"])
def test_lengths_past_the_end_are_harmless(keyword, implicit, claimed):
    lying = element(keyword, b"x" * 8, vr="UT", implicit=implicit, length=claimed)

    check_header(instance(lying, implicit=implicit))


def test_a_file_cut_anywhere_reads_as_pydicom_reads_it():
    data = instance(
        sequence("ReferencedImageSequence", item(ITEMS, defined=False), item(ITEMS)),
        element("RequestedProcedureDescription", "Chest"),
    )
    for end in range(len(data)):
        check_header(data[:end])


def test_every_flipped_bit_reads_as_pydicom_reads_it():
    data = instance(sequence("ReferencedImageSequence", item(ITEMS, defined=False)))
    for at in range(132, len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            check_header(bytes(flipped))


def test_a_file_that_denies_its_transfer_syntax_is_left_to_pydicom():
    implicit = b"".join(identifiers(implicit=True).values())

    assert_left_to_pydicom(file_of(implicit, EXPLICIT))


def test_the_scanner_reads_no_more_windows_than_it_says():
    asked = []

    def endless(offset):
        asked.append(offset)
        # Private elements of one window each, for ever.
        header = struct.pack("<HH2sxxI", 0x0009, 0x1000 + len(asked), b"OB", 2 * WINDOW_BYTES)
        start = instance()[: -len(b"".join(identifiers().values()))] if offset == 0 else b""
        return (start + header).ljust(WINDOW_BYTES, b"\x07")

    assert scan(endless) is None
    assert len(asked) == MAX_WINDOWS


def test_a_file_that_is_no_dicom_file_is_refused_by_name(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"not DICOM" * 100)

    with pytest.raises(PermanentError, match="cannot be parsed"):
        header_of_file(path)
    with pytest.raises(PermanentError, match="cannot be parsed"):
        read_header(BytesIO(b""))
