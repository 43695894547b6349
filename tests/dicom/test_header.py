"""Headers from the field are read, not judged."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.errors import PermanentError
from tests.builders import ct_series, radiograph, write


def put_raw(ds, keyword, vr, value):
    """Put bytes into a data set that pydicom would refuse to encode."""
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return ds


def test_values_that_break_their_vr_do_not_stop_reading(tmp_path):
    image = radiograph()
    put_raw(image, "StudyDate", "DA", b"yesterday ")
    put_raw(image, "WindowCenter", "DS", b"2000.00000000000000000 ")
    put_raw(image, "AccessionNumber", "SH", b"far too long for a short string ")
    put_raw(image, "ReferringPhysicianName", "PN", b"a=b=c=d=e=f ")

    source = read_image(write(image, tmp_path)[0])

    assert source.datasets[0].StudyDate == "yesterday"
    assert source.volume.window == (2000, 4000)
    assert source.datasets[0].AccessionNumber == "far too long for a short string"


def test_a_value_that_is_not_a_number_is_as_good_as_absent(tmp_path):
    (path,) = write(radiograph(KVP="120", WindowWidth="4000"), tmp_path)
    encoded = path.read_bytes()
    for good, bad in ((b"DS\4\x00120 ", b"DS\4\0high"), (b"DS\4\x004000", b"DS\4\0wide")):
        assert encoded.count(good) == 1
        encoded = encoded.replace(good, bad)
    path.write_bytes(encoded)

    source = read_image(path)

    assert "KVP" not in source.datasets[0]
    assert source.volume.window is None


def test_absent_type_2_attributes_stay_absent(tmp_path):
    images = ct_series(AccessionNumber=None, PatientBirthDate=None)

    datasets = read_series(write(images, tmp_path)).datasets

    assert "AccessionNumber" not in datasets[0]


def test_overlay_bits_are_left_out_and_the_rest_of_the_overlay_stays(tmp_path):
    image = radiograph()
    image.add_new(0x60000010, "US", 64)
    image.add_new(0x60003000, "OW", bytes(512))

    (header,) = read_image(write(image, tmp_path)[0]).datasets

    assert 0x60000010 in header
    assert 0x60003000 not in header
    assert "PixelData" not in header


def test_private_elements_are_kept(tmp_path):
    image = radiograph()
    image.private_block(0x0099, "BUILDER", create=True).add_new(1, "LO", "kept")

    (header,) = read_image(write(image, tmp_path)[0]).datasets

    assert header.private_block(0x0099, "BUILDER")[1].value == "kept"


def test_a_file_that_is_not_dicom_is_refused(tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(b"not a DICOM file" * 100)

    with pytest.raises(PermanentError, match=r"x\.dcm cannot be read as a DICOM file"):
        read_image(path)


def test_a_file_that_ends_in_its_header_is_refused(tmp_path):
    (path,) = write(radiograph(), tmp_path)
    for length in (130, 200, 400, 900):
        cut = tmp_path / f"{length}.dcm"
        cut.write_bytes(path.read_bytes()[:length])
        with pytest.raises(PermanentError):
            read_image(cut)


def test_a_file_that_is_gone_is_not_called_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "gone.dcm")


def test_reading_leaves_the_settings_of_pydicom_as_they_were(tmp_path):
    (path,) = write(radiograph(), tmp_path)
    before = config.settings.reading_validation_mode, list(warnings.filters)

    read_image(path)

    assert (config.settings.reading_validation_mode, list(warnings.filters)) == before


def test_threads_that_read_at_once_leave_the_settings_as_they_were(tmp_path):
    paths = [write(radiograph(seed=str(n)), tmp_path / str(n))[0] for n in range(8)]
    before = config.settings.reading_validation_mode, list(warnings.filters)

    with ThreadPoolExecutor(4) as pool:
        sources = list(pool.map(read_image, paths))

    assert len(sources) == 8
    assert (config.settings.reading_validation_mode, list(warnings.filters)) == before


def test_no_message_carries_a_value_from_the_header(tmp_path):
    """The text of a decoder's error may; it stays in the cause."""
    image = put_raw(radiograph(), "BitsStored", "US", b"Builder^Patient ")

    with pytest.raises(PermanentError) as error:
        read_image(write(image, tmp_path)[0])

    assert "Builder" not in str(error.value)
