"""One radiograph, or one slice, becomes a volume of one slice."""

from __future__ import annotations

import numpy as np
import pytest

from node.dicom.image import read_image
from node.errors import GeometryError, PermanentError
from tests.builders import ct_series, enhanced_ct, radiograph, write


def read(tmp_path, image):
    return read_image(write(image, tmp_path)[0])


def test_a_radiograph_has_one_slice_and_no_place_in_the_patient(tmp_path):
    source = read(tmp_path, radiograph(rows=64, columns=56))

    grid = source.volume.grid
    assert source.volume.voxels.shape == grid.shape == (1, 64, 56)
    assert source.volume.voxels.dtype == np.float32
    assert not grid.patient_frame
    assert grid.spacing_known
    np.testing.assert_array_equal(grid.affine, np.diag([1, 0.2, 0.15, 1]))
    assert source.volume.window == (2000, 4000)
    assert source.volume.unit == "1"
    assert len(source.datasets) == 1
    assert source.frame_numbers is None


def test_the_calibrated_spacing_goes_before_the_one_at_the_detector(tmp_path):
    image = radiograph(ImagerPixelSpacing=["0.2", "0.2"], PixelSpacing=["0.18", "0.17"])

    assert read(tmp_path, image).volume.grid.spacing_mm == (1, 0.18, 0.17)


def test_a_scanned_film_has_its_nominal_spacing(tmp_path):
    image = radiograph(ImagerPixelSpacing=None, NominalScannedPixelSpacing=["0.1", "0.1"])

    assert read(tmp_path, image).volume.grid.spacing_mm == (1, 0.1, 0.1)


def test_without_any_spacing_the_grid_counts_pixels_and_says_so(tmp_path):
    grid = read(tmp_path, radiograph(ImagerPixelSpacing=None)).volume.grid

    assert not grid.spacing_known
    assert grid.spacing_mm == (1, 1, 1)


def test_a_spacing_of_zero_is_as_good_as_absent(tmp_path):
    """Some CR readers write 0 where no calibration is known."""
    image = radiograph(PixelSpacing=["0", "0"], ImagerPixelSpacing=["0.2", "0.15"])

    assert read(tmp_path, image).volume.grid.spacing_mm == (1, 0.2, 0.15)
    image.ImagerPixelSpacing = ["0", "0.15"]
    assert not read(tmp_path, image).volume.grid.spacing_known


def test_an_impossible_orientation_of_a_slice_is_an_error(tmp_path):
    with pytest.raises(GeometryError, match="expected 1"):
        read(tmp_path, ct_series(ImageOrientationPatient=[1, 0, 0, 0, 3, 0])[0])


def test_monochrome1_is_inverted_so_that_bright_is_more(tmp_path):
    image = radiograph(
        PhotometricInterpretation="MONOCHROME1", WindowCenter="1000", WindowWidth="500"
    )
    stored = image.pixel_array

    volume = read(tmp_path, image).volume

    np.testing.assert_array_equal(volume.voxels[0], 4095.0 - stored)
    assert volume.window == (3095, 500)


def test_inversion_follows_the_rescale(tmp_path):
    image = radiograph(
        PhotometricInterpretation="MONOCHROME1", RescaleSlope="2", RescaleIntercept="-100"
    )
    stored = image.pixel_array

    volume = read(tmp_path, image).volume

    np.testing.assert_array_equal(volume.voxels[0], 2.0 * (4095.0 - stored) - 100)


def test_a_window_without_width_is_none(tmp_path):
    for changes in ({"WindowWidth": None}, {"WindowWidth": "0"}, {"WindowCenter": None}):
        assert read(tmp_path, radiograph(**changes)).volume.window is None


def test_padding_of_a_radiograph_is_marked(tmp_path):
    volume = read(tmp_path, radiograph(PixelPaddingValue=0)).volume

    np.testing.assert_array_equal(volume.padding, volume.voxels == 0)


def test_one_ct_slice_keeps_its_place_in_the_patient(tmp_path):
    grid = read(tmp_path, ct_series(slices=3)[1]).volume.grid

    assert grid.patient_frame
    assert grid.affine @ [0, 0, 0, 1] == pytest.approx([-10, -20, 32.5, 1])
    assert grid.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


def test_a_ct_slice_without_position_is_a_picture_with_a_spacing(tmp_path):
    grid = read(tmp_path, ct_series(ImagePositionPatient=None)[0]).volume.grid

    assert not grid.patient_frame
    assert grid.spacing_mm == (1, 0.8, 0.7)


def test_several_frames_are_not_one_image(tmp_path):
    with pytest.raises(PermanentError, match="NumberOfFrames is 4; expected one"):
        read(tmp_path, enhanced_ct(slices=4))


def test_a_multiframe_object_of_one_frame_is_one_image(tmp_path):
    source = read(tmp_path, enhanced_ct(slices=1))

    assert source.frame_numbers == (1,)
    assert source.volume.grid.patient_frame
    assert source.volume.unit == "[hnsf'U]"
    assert source.volume.window == (40, 400)
