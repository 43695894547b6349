"""Headers as they come from the field."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.errors import PermanentError
from node.store.elements import Header
from node.store.file_meta import file_meta
from node.store.header import header_begun, header_of_file, read_header
from node.store.scanner import WINDOW_BYTES
from tests.builders import ct_series


def encoded(ds, transfer_syntax=ExplicitVRLittleEndian):
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream


def test_identifiers_and_rule_elements_are_read():
    ds = ct_series(slices=1)[0]

    header = read_header(encoded(ds))

    assert header.study_instance_uid == ds.StudyInstanceUID
    assert header.sop_class_uid == ds.SOPClassUID
    assert header.attributes["Modality"] == "CT"
    assert header.attributes["Rows"] == ds.Rows
    assert header.attributes["PixelSpacing"] == [float(v) for v in ds.PixelSpacing]


def test_no_patient_identification_is_kept_in_the_index():
    ds = ct_series(slices=1)[0]

    text = str(read_header(encoded(ds)))

    assert str(ds.PatientName) not in text
    assert str(ds.PatientID) not in text


def test_a_deflated_data_set_is_read():
    ds = ct_series(slices=1)[0]

    header = read_header(encoded(ds, DeflatedExplicitVRLittleEndian))

    assert header.attributes["Modality"] == "CT"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_an_identifier_is_refused_by_name(keyword):
    ds = ct_series(slices=1)[0]
    delattr(ds, keyword)

    with pytest.raises(PermanentError, match=keyword):
        read_header(encoded(ds))


def test_bytes_that_are_no_data_set_are_refused():
    meta = file_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", str(ExplicitVRLittleEndian), "CT1")

    with pytest.raises(PermanentError):
        read_header(BytesIO(meta + b"\xff" * 64))


def test_one_broken_element_does_not_cost_the_instance():
    ds = ct_series(slices=1)[0]
    raw = encoded(ds).getvalue().replace(b"AXIAL", b"\x80\xff\x01AL")

    assert read_header(BytesIO(raw)).attributes["Modality"] == "CT"


@pytest.mark.parametrize("number", [b"NaN ", b"inf ", b"1e999 "])
def test_a_number_that_is_not_finite_counts_as_absent(number):
    ds = ct_series(slices=1, SliceThickness="7.5")[0]
    element = b"\x18\x00\x50\x00DS"
    raw = encoded(ds).getvalue()
    broken = raw.replace(
        element + b"\x04\x007.5 ", element + len(number).to_bytes(2, "little") + number
    )
    assert broken != raw

    attributes = read_header(BytesIO(broken)).attributes

    assert "SliceThickness" not in attributes
    assert attributes["Modality"] == "CT"


def test_the_patient_is_a_digest_that_follows_the_id_and_its_issuer():
    def patient(**elements):
        return read_header(encoded(ct_series(slices=1, **elements)[0])).patient

    known = patient(PatientID="P-1")

    assert len(known) == 64
    assert patient(PatientID=" P-1 ") == known
    assert patient(PatientID="p-1") != known
    assert patient(PatientID="P-1", IssuerOfPatientID="OTHER") != known
    assert patient(PatientID="") == ""


def test_a_file_on_disk_gives_the_same_header(tmp_path):
    path = tmp_path / "slice.dcm"
    path.write_bytes(encoded(ct_series(slices=1)[0]).getvalue())

    assert header_of_file(path) == read_header(BytesIO(path.read_bytes()))


def begun(path: Path, transfer_syntax: str = "", came: int = WINDOW_BYTES) -> Header | None:
    """What is said of a file of which so many bytes have come."""
    meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
    content = path.read_bytes()[:came]
    return header_begun(
        lambda size: content[:size],
        144 + meta.FileMetaInformationGroupLength,
        transfer_syntax or meta.TransferSyntaxUID,
    )


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_the_header_of_a_begun_file_is_that_of_the_whole_one(tmp_path, implicit):
    (ds,) = ct_series(slices=1, rows=512, columns=512)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "whole.dcm"
    ds.save_as(path, enforce_file_format=True)

    assert begun(path) == header_of_file(path)


def test_as_much_as_has_come_says_the_same_or_nothing(tmp_path):
    (ds,) = ct_series(slices=1, rows=512, columns=512)
    path = tmp_path / "whole.dcm"
    ds.save_as(path, enforce_file_format=True)
    whole = header_of_file(path)

    said = [begun(path, came=size) for size in range(0, 16384, 64)]

    assert said[0] is None
    assert said[-1] == whole
    assert all(header in (None, whole) for header in said)


def test_a_begun_file_whose_header_goes_on_behind_what_has_come_is_still_to_come(tmp_path):
    (ds,) = ct_series(slices=1, rows=512, columns=512)
    ds.add_new(0x00090010, "LO", "WETREAD TEST")
    ds.add_new(0x00091010, "OB", b"\0" * (2 * WINDOW_BYTES))
    path = tmp_path / "long.dcm"
    ds.save_as(path, enforce_file_format=True)

    assert begun(path) is None


def test_a_begun_file_that_denies_its_transfer_syntax_is_left_to_the_parser(tmp_path):
    (ds,) = ct_series(slices=1, rows=512, columns=512)
    path = tmp_path / "whole.dcm"
    ds.save_as(path, enforce_file_format=True)

    for denied in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        assert begun(path, denied) is None
