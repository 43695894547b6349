"""Bits become stored values, and stored values become modality values."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom.header import MAX_VOXELS, check_inflated_size
from node.dicom.image import read_image
from node.errors import PermanentError
from tests.builders import ct_series, radiograph, write


def read(tmp_path, image):
    return read_image(write(image, tmp_path)[0]).volume


def with_pixels(values, *, dtype, stored, high=None, **changes):
    """One CT slice of 2 x 3 pixels with exactly these containers, and no rescale."""
    return ct_series(
        slices=1,
        rows=2,
        columns=3,
        RescaleSlope=None,
        RescaleIntercept=None,
        BitsAllocated=np.dtype(dtype).itemsize * 8,
        BitsStored=stored,
        HighBit=stored - 1 if high is None else high,
        PixelRepresentation=int(np.dtype(dtype).kind == "i"),
        PixelData=np.array(values, dtype).tobytes(),
        **changes,
    )[0]


def test_unused_high_bits_are_cleared(tmp_path):
    """Old modalities keep overlays there."""
    image = with_pixels([0x1005, 0xF006, 7, 0x8FFF, 0, 1], dtype="<u2", stored=12)

    assert read(tmp_path, image).voxels.ravel().tolist() == [5, 6, 7, 4095, 0, 1]


def test_the_sign_of_a_twelve_bit_value_is_extended(tmp_path):
    image = with_pixels([0x0FFF, 0x0800, 0x07FF, -1, 0x1001, 0], dtype="<i2", stored=12)

    assert read(tmp_path, image).voxels.ravel().tolist() == [-1, -2048, 2047, -1, 1, 0]


def test_values_are_shifted_down_from_high_bit(tmp_path):
    image = with_pixels([0x10, 0xFFF0, 0x2F, 0, 0, 0], dtype="<u2", stored=12, high=15)

    assert read(tmp_path, image).voxels.ravel().tolist() == [1, 4095, 2, 0, 0, 0]


def test_an_impossible_high_bit_is_an_error(tmp_path):
    image = with_pixels([0] * 6, dtype="<u2", stored=12, high=3)

    with pytest.raises(PermanentError, match="HighBit is 3 with BitsStored 12"):
        read(tmp_path, image)


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_the_sign_of_the_padding_value_is_that_of_the_pixels(tmp_path, padding):
    """Explicit VR files are found with the same 16 bits as SS and as US."""
    image = with_pixels([-2000, 0, 5, -2000, 1, 2], dtype="<i2", stored=16)
    image.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)

    mask = read(tmp_path, image).padding

    assert mask.ravel().tolist() == [True, False, False, True, False, False]


def test_a_padding_value_outside_bits_stored_is_found_in_the_container(tmp_path):
    image = with_pixels([63536, 2096, 5, 63536, 1, 2], dtype="<u2", stored=12)
    image.add_new("PixelPaddingValue", "US", 63536)

    mask = read(tmp_path, image).padding

    assert mask.ravel().tolist() == [True, False, False, True, False, False]


@pytest.mark.parametrize("limits", [(10, 20), (20, 10)])
def test_the_padding_range_includes_both_ends(tmp_path, limits):
    image = with_pixels([9, 10, 15, 20, 21, 0], dtype="<u2", stored=16)
    image.PixelPaddingValue, image.PixelPaddingRangeLimit = limits

    mask = read(tmp_path, image).padding

    assert mask.ravel().tolist() == [False, True, True, True, False, False]


def test_padding_is_compared_before_the_rescale(tmp_path):
    image = with_pixels([0, 1024, 5, 6, 7, 8], dtype="<u2", stored=12, PixelPaddingValue=0)
    image.RescaleSlope, image.RescaleIntercept = "1", "-1024"

    volume = read(tmp_path, image)

    assert volume.padding.ravel().tolist() == [True] + [False] * 5
    assert volume.voxels.ravel().tolist()[:2] == [-1024, 0]


def test_a_padding_value_that_no_pixel_has_gives_no_mask(tmp_path):
    image = with_pixels([1, 2, 3, 4, 5, 6], dtype="<u2", stored=12, PixelPaddingValue=0)

    assert read(tmp_path, image).padding is None


def test_a_rescale_that_is_absent_is_the_identity_and_no_hounsfield_unit(tmp_path):
    volume = read(tmp_path, with_pixels([0, 1, 2, 3, 4, 5], dtype="<u2", stored=12))

    assert volume.voxels.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert volume.unit == "1"


@pytest.mark.parametrize(
    ("rescale_type", "unit"), [("HU", "[hnsf'U]"), (None, "[hnsf'U]"), ("US", "1")]
)
def test_a_ct_is_in_hounsfield_units_unless_rescale_type_says_otherwise(
    tmp_path, rescale_type, unit
):
    assert read(tmp_path, ct_series(RescaleType=rescale_type)[0]).unit == unit


def test_a_slope_of_zero_is_an_error(tmp_path):
    with pytest.raises(PermanentError, match="RescaleSlope is 0"):
        read(tmp_path, ct_series(RescaleSlope="0")[0])


def test_a_modality_table_is_looked_up_and_its_ends_continue(tmp_path):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [3, 10, 16])
    table.add_new("LUTData", "OW", np.array([100, 200, 400], "<u2").tobytes())
    table.ModalityLUTType = "HU"
    image = with_pixels([0, 10, 11, 12, 13, 4000], dtype="<u2", stored=12)
    image.ModalityLUTSequence = [table]

    volume = read(tmp_path, image)

    assert volume.voxels.ravel().tolist() == [100, 100, 200, 400, 400, 400]
    assert volume.unit == "[hnsf'U]"


def test_float_pixel_data_is_read(tmp_path):
    image = with_pixels([0] * 6, dtype="<u2", stored=16)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(image, keyword)
    image.BitsAllocated = 32
    image.FloatPixelData = np.array([0.5, -1, 2, 3, 4, -9], "<f4").tobytes()
    image.FloatPixelPaddingValue = -9.0

    volume = read(tmp_path, image)

    assert volume.voxels.ravel().tolist() == [0.5, -1, 2, 3, 4, -9]
    assert volume.padding.ravel().tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("found", ["RGB", "YBR_FULL_422", "PALETTE COLOR"])
def test_a_colour_image_is_refused_with_what_was_found(tmp_path, found):
    with pytest.raises(PermanentError, match=f"PhotometricInterpretation is {found}.*MONOCHROME"):
        read(tmp_path, radiograph(PhotometricInterpretation=found))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_compressed_pixels_are_the_same_pixels(tmp_path, syntax):
    expected = read(tmp_path / "plain", radiograph()).voxels
    image = radiograph()
    image.compress(syntax, generate_instance_uid=False)

    np.testing.assert_array_equal(read(tmp_path / "compressed", image).voxels, expected)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_uncompressed_encoding_gives_the_same_pixels(tmp_path, syntax):
    expected = read(tmp_path / "plain", radiograph()).voxels
    image = radiograph()
    if syntax == ExplicitVRBigEndian:
        image.PixelData = image.pixel_array.astype(">u2").tobytes()
        image["PixelData"].VR = "OW"
    image.file_meta.TransferSyntaxUID = syntax

    np.testing.assert_array_equal(read(tmp_path / "other", image).voxels, expected)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_truncated_compressed_frame_is_refused(tmp_path, syntax):
    """JPEG-LS and JPEG codecs would fill the rest with zeros and say nothing."""
    image = radiograph()
    image.compress(syntax, generate_instance_uid=False)
    image.PixelData = image.PixelData[: len(image.PixelData) * 2 // 3]

    with pytest.raises(PermanentError) as error:
        read(tmp_path, image)

    assert str(image.SOPInstanceUID) in str(error.value)
    assert str(syntax) in str(error.value)


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    image = radiograph(rows=64)
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    image.Rows = 63

    with pytest.raises(PermanentError, match=r"has 64 rows, .*expected Rows 63"):
        read(tmp_path, image)


def test_truncated_pixels_are_refused(tmp_path):
    image = radiograph()
    image.PixelData = image.PixelData[:1000]

    with pytest.raises(PermanentError, match=r"instance 2\.25.*transfer syntax 1\.2\.840\.10008\."):
        read(tmp_path, image)


def test_an_object_without_pixels_is_refused(tmp_path):
    with pytest.raises(PermanentError, match="found no pixel data; expected one of PixelData"):
        read(tmp_path, radiograph(PixelData=None))


def test_a_huge_image_is_refused_by_its_header(tmp_path):
    image = radiograph(Rows=65535, Columns=65535)

    with pytest.raises(PermanentError, match=f"at most {MAX_VOXELS} are read"):
        read(tmp_path, image)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
@pytest.mark.parametrize("value", [0, None])
def test_an_image_without_a_size_is_refused(tmp_path, keyword, value):
    with pytest.raises(PermanentError, match="expected positive numbers"):
        read(tmp_path, radiograph(**{keyword: value}))


def test_a_deflated_file_that_inflates_too_much_is_refused(tmp_path):
    image = radiograph(Rows=512, Columns=512, PixelData=bytes(2 * 512 * 512))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (path,) = write(image, tmp_path)

    check_inflated_size(path, limit=2**20)
    with pytest.raises(PermanentError, match="inflates to more than 100000 bytes"):
        check_inflated_size(path, limit=100_000)


def test_an_undeflated_file_is_not_held_to_the_limit_of_inflation(tmp_path):
    (path,) = write(radiograph(), tmp_path)

    check_inflated_size(path, limit=1)
