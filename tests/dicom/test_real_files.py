"""Real files: the ones in pydicom's wheel, and larger ones from the package pydicom-data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.dicom.file import HeaderReader
from node.dicom.header import lenient
from node.dicom.image import read_image
from node.dicom.pixels import read_frames
from node.dicom.volume import read_series
from node.errors import GeometryError, PermanentError
from tests.builders.tools import need

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"


def frames_of(path):
    return read_frames(HeaderReader().read(path))


@pytest.fixture
def larger():
    """Folder of the files of pydicom-data."""
    store = find_spec("data_store")
    need(None if store else "the package pydicom-data is not installed")
    return Path(store.origin).parent / "data"


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_every_encoding_of_one_slice_gives_the_same_voxels(name):
    expected = read_image(BUNDLED / "MR_small.dcm").volume

    volume = read_image(BUNDLED / name).volume

    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    np.testing.assert_array_equal(volume.grid.affine, expected.grid.affine)


def test_a_ct_slice_is_in_hounsfield_units():
    volume = read_image(BUNDLED / "CT_small.dcm").volume

    assert volume.unit == "[hnsf'U]"
    assert (volume.voxels.min(), volume.voxels.max()) == (-896, 1167)
    assert volume.grid.patient_frame


def test_a_codestream_that_denies_its_sign_gives_signed_values():
    volume = read_image(BUNDLED / "J2K_pixelrep_mismatch.dcm").volume

    assert volume.voxels.min() < -500


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_lossy_frames_are_read(name):
    assert read_image(BUNDLED / name).volume.voxels.shape == (1, 1024, 256)


def test_a_truncated_slice_is_refused():
    with pytest.raises(PermanentError, match="the pixel data cannot be decoded"):
        read_image(BUNDLED / "MR_truncated.dcm")


@pytest.mark.parametrize("name", ["JPEG2000-embedded-sequence-delimiter.dcm"])
def test_a_damaged_codestream_is_refused_by_its_uids(name):
    with pytest.raises(PermanentError, match=r"instance 1\.3\.6.*transfer syntax 1\.2\.840"):
        read_image(BUNDLED / name)


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm"])
def test_an_object_that_is_no_image_is_refused(name):
    with pytest.raises(PermanentError, match="PhotometricInterpretation is absent"):
        read_image(BUNDLED / name)


@pytest.mark.parametrize("name", ["examples_palette.dcm", "SC_rgb_rle.dcm"])
def test_a_colour_picture_is_refused(name):
    with pytest.raises(PermanentError, match="PhotometricInterpretation is"):
        read_image(BUNDLED / name)


def test_no_bundled_file_raises_anything_but_our_errors():
    read = 0
    for path in sorted(BUNDLED.glob("*.dcm")):
        for reader in (read_image, lambda path: read_series([path])):
            try:
                reader(path)
                read += 1
            except PermanentError:
                continue
    assert read == 21


@pytest.mark.data
@pytest.mark.parametrize("plain", ["MR2_UNCR.dcm", "RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_lossless_jpeg_2000_gives_the_same_voxels(larger, plain):
    expected = read_image(larger / plain).volume

    volume = read_image(larger / plain.replace("UNC", "J2K")).volume

    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    assert volume.window == expected.window


@pytest.mark.data
@pytest.mark.parametrize("plain", ["MR2_UNCI.dcm", "RG1_UNCI.dcm", "RG3_UNCI.dcm"])
def test_lossy_jpeg_2000_gives_nearly_the_same_voxels(larger, plain):
    expected = read_image(larger / plain).volume.voxels

    voxels = read_image(larger / plain.replace("UNC", "J2K")).volume.voxels

    assert np.abs(voxels - expected).mean() < 0.02 * np.ptp(expected)


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "emri_small_RLE.dcm",
        "emri_small_big_endian.dcm",
        "emri_small_jpeg_2k_lossless.dcm",
        "emri_small_jpeg_ls_lossless.dcm",
    ],
)
def test_every_encoding_of_a_multiframe_image_gives_the_same_frames(larger, name):
    with lenient():
        expected = [frame for frame, _ in frames_of(larger / "emri_small.dcm")]
        frames = [frame for frame, _ in frames_of(larger / name)]

    assert len(frames) == 10
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.data
def test_a_multiframe_image_with_a_truncated_frame_is_refused(larger):
    with lenient(), pytest.raises(PermanentError):
        list(frames_of(larger / "emri_small_jpeg_2k_lossless_too_short.dcm"))


@pytest.mark.data
def test_a_multiframe_image_without_functional_groups_has_no_geometry(larger):
    with pytest.raises(GeometryError, match="PerFrameFunctionalGroupsSequence is absent"):
        read_series([larger / "emri_small.dcm"])


@pytest.mark.data
def test_a_supplemental_enhanced_ct_is_read(larger):
    source = read_series([larger / "eCT_Supplemental.dcm"])

    assert source.frame_numbers is not None
    assert source.volume.grid.shape[0] == len(source.frame_numbers)


@pytest.mark.data
def test_a_modality_table_of_a_real_file_is_applied(larger):
    assert read_image(larger / "mlut_18.dcm").volume.voxels.max() > 0
