"""Patients keep their names in every character set, and bad headers do not stop a result."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import config, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from node.encode.base import encode
from node.encode.identity import TYPE_2, identity
from node.encode.text import numbers, text_values
from node.errors import PermanentError
from tests.encode.conftest import lungs, make_context

NAMES = {
    "Japanese, code extension": (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎",
    ),
    "Korean, code extension": (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
        "Hong^Gildong=洪^吉洞",
    ),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    "Chinese, code extension": (
        ["", "ISO 2022 IR 58"],
        b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab",
        "Wang^XiaoDong=王^小东",
    ),
    "Chinese, GBK": ("GBK", "Wang^XiaoDong=王^小东".encode("gbk"), "Wang^XiaoDong=王^小东"),
    "Japanese, katakana": ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "Japanese, katakana and kanji": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    "Thai": ("ISO_IR 166", "สมชาย^ใจดี".encode("iso8859_11"), "สมชาย^ใจดี"),
    "Greek": ("ISO_IR 126", "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
    "Hebrew": ("ISO_IR 138", "שרון^דבורה".encode("iso8859_8"), "שרון^דבורה"),
    "Arabic": ("ISO_IR 127", "قباني^لنزار".encode("iso8859_6"), "قباني^لنزار"),
    "the default, but Latin-1": ("ISO_IR 6", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "empty, but UTF-8": ("", "王^小东".encode(), "王^小东"),
    "Chinese announced, UTF-8 written": ("GB18030", "Müller".encode(), None),
    "Western": ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "Cyrillic": ("ISO_IR 144", "Люксембург".encode("iso8859_5"), "Люксембург"),
    "UTF-8": ("ISO_IR 192", "Größe^Ωmega".encode(), "Größe^Ωmega"),
    "none, but Latin-1": (None, "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "none, but UTF-8": (None, "Müller^Jörg".encode(), "Müller^Jörg"),
    "UTF-8 announced, Latin-1 written": ("ISO_IR 192", b"M\xfcller^J\xf6rg", "Müller^Jörg"),
    "unknown to the standard": ("ISO_IR 999", "Müller^Jörg".encode(), "Müller^Jörg"),
}


def raw(keyword, value):
    """An element as pydicom reads it from a file: bytes, not yet looked at."""
    tag = Tag(keyword)
    return RawDataElement(tag, None, len(value), value, 0, True, True)


def header(**changes):
    ds = Dataset()
    ds.StudyInstanceUID = "1.2.3"
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("what", NAMES)
def test_a_name_survives(what):
    declared, name, expected = NAMES[what]
    ds = header()
    if declared is not None:
        ds._dict[Tag("SpecificCharacterSet")] = DataElement(
            "SpecificCharacterSet", "CS", declared, validation_mode=config.IGNORE
        )
    ds._dict[Tag("PatientName")] = raw("PatientName", name)

    copy = identity(ds)
    copy.SpecificCharacterSet = "ISO_IR 192"
    buffer = BytesIO()
    copy.save_as(buffer, implicit_vr=False, little_endian=True)
    back = dcmread(BytesIO(buffer.getvalue()), force=True)

    if expected is None:  # both readings are possible: the announced one counts
        expected = name.decode("gb18030")
    assert str(back.PatientName) == expected


@pytest.mark.parametrize("kind", ["ct", "DX"])
def test_absent_type_2_elements_become_empty(kind, source_of):
    source = source_of(kind, **dict.fromkeys(TYPE_2))
    for one in encode(lungs(source), source, make_context(source)):
        for keyword in TYPE_2:
            assert keyword in one.dataset
            assert not one.dataset[keyword].value


def test_values_that_break_their_representation_do_not_stop_a_result(source_of):
    source = source_of("ct")
    long_name = "N" * 80 + "^Given"
    for ds in source.datasets:
        for keyword, value in (
            ("PatientName", long_name.encode()),
            ("PatientBirthDate", b"1960-02-29"),
            ("StudyTime", b"noon"),
            ("PatientWeight", b"heavy"),
            ("PatientSex", b"unknown"),
            ("BodyPartExamined", b"Chest / Thorax!"),
            ("SliceThickness", b"2.50000000000000000000001"),
        ):
            ds._dict[Tag(keyword)] = raw(keyword, value)

    for one in encode(lungs(source), source, make_context(source)):
        ds = one.dataset
        assert str(ds.PatientName) == long_name
        assert (ds.PatientBirthDate or "", ds.StudyTime or "") == ("", "")
        assert "PatientWeight" not in ds
        assert "BodyPartExamined" not in ds
        one.dataset.save_as(BytesIO(), enforce_file_format=True)


def test_private_elements_are_not_copied(source_of):
    source = source_of("ct")
    for ds in source.datasets:
        ds.private_block(0x0011, "SCANNER", create=True).add_new(0x01, "LO", "secret")
        qualifier = Dataset()
        qualifier.UniversalEntityID = "2.25.7"
        qualifier.private_block(0x0011, "SCANNER", create=True).add_new(0x01, "LO", "secret")
        ds.IssuerOfPatientIDQualifiersSequence = [qualifier]

    for one in encode(lungs(source), source, make_context(source)):
        assert one.dataset.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "2.25.7"
        assert not [element for element in one.dataset.iterall() if element.tag.is_private]


def test_a_study_without_uid_is_refused():
    with pytest.raises(PermanentError, match="StudyInstanceUID"):
        identity(Dataset())


def test_backslashes_separate_values_except_in_text():
    ds = header(PatientComments="a\\b")
    ds._dict[Tag("OtherPatientNames")] = raw("OtherPatientNames", b"One^A\\Two^B ")

    assert text_values(ds, "PatientComments") == ["a\\b"]
    assert text_values(ds, "OtherPatientNames") == ["One^A", "Two^B"]


@pytest.mark.parametrize("value", [b"1\\2", b"1\\2\\x", b"", b"1\\2\\inf"])
def test_numbers_that_are_not_three_are_none(value):
    ds = header()
    ds._dict[Tag("ImagePositionPatient")] = raw("ImagePositionPatient", value)

    assert numbers(ds, "ImagePositionPatient", 3) is None
