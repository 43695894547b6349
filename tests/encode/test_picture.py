"""The picture shows the labels in their colours and nothing about the patient."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engines.types import Volume
from node.domain import ResultKind
from node.encode.base import encode
from node.encode.pen import with_unit
from node.encode.picture import render_picture
from node.encode.view import coronal_view, radiograph_view, slice_views, window_of
from tests.encode.conftest import LEFT, OBLIQUE, RIGHT, SOURCES, lungs, make_context, view_of


@pytest.mark.parametrize("kind", SOURCES)
def test_a_picture_is_1024_wide_and_has_the_labels_colours(kind, source_of):
    source = source_of(kind)
    picture = render_picture(lungs(source), source, make_context(source))

    assert (picture.dtype, picture.shape[1:]) == (np.uint8, (1024, 3))
    for label in (LEFT, RIGHT):
        assert np.count_nonzero((picture == label.color).all(axis=-1)) > 200


def test_the_patient_makes_no_difference_to_the_pixels(source_of):
    source = source_of("ct")
    picture = render_picture(lungs(source), source, make_context(source))
    for ds in source.datasets:
        ds.PatientName, ds.PatientID = "Another^Person", "ANOTHER"
        ds.AccessionNumber, ds.PatientBirthDate = "ELSE", "19000101"

    assert np.array_equal(picture, render_picture(lungs(source), source, make_context(source)))


def test_the_research_warning_is_there_unless_the_package_is_a_product(source_of):
    source = source_of("DX")
    research = render_picture(view_of("PA"), source, make_context(source))
    product = render_picture(
        view_of("PA"), source, make_context(source, content_qualification="PRODUCT")
    )
    different = np.argwhere((research != product).any(axis=-1))
    assert different[:, 0].max() < 112
    assert different[:, 1].min() > 512


def test_the_capture_says_that_it_is_made_and_annotated(source_of):
    source = source_of("DX")
    (one,) = encode(lungs(source), source, make_context(source, kinds=(ResultKind.SC,)))

    ds = one.read()
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert (ds.BurnedInAnnotation, ds.ConversionType) == ("YES", "WSD")
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == source.datasets[0].SOPInstanceUID
    assert ds.pixel_array.shape == (ds.Rows, ds.Columns, 3)


def test_an_unknown_body_part_leaves_laterality_open(source_of):
    source = source_of("DX", BodyPartExamined=None)
    (one,) = encode(lungs(source), source, make_context(source, kinds=(ResultKind.SC,)))

    assert "BodyPartExamined" not in one.dataset
    assert one.dataset.Laterality == ""


def test_edges_of_a_radiograph_are_named_by_its_orientation(source_of):
    source = source_of("DX")
    labels = np.zeros(source.volume.grid.shape, dtype=np.uint8)

    view = radiograph_view(source.volume, labels, source.datasets[0])
    assert view.marks == ("R", "L", "H", "F")


def test_edges_of_a_slice_are_named_by_the_grid(source_of):
    source = source_of("ct", orientation=OBLIQUE)
    labels = np.zeros(source.volume.grid.shape, dtype=np.uint8)

    assert slice_views(source.volume, labels, 1)[0].marks == ("R", "L", "H", "F")


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE, (0, 1, 0, 0, 0, -1)])
def test_the_coronal_view_has_the_head_up_and_the_right_side_left(orientation, source_of):
    source = source_of("ct", orientation=orientation, slices=9)
    grid = source.volume.grid
    index = np.stack(np.indices(grid.shape), axis=-1).reshape(-1, 3)
    places = index @ grid.affine[:3, :3].T
    volume = source.volume
    by_height = dataclasses.replace(
        volume, voxels=places[:, 2].reshape(grid.shape).astype(np.float32)
    )
    by_side = dataclasses.replace(
        volume, voxels=places[:, 0].reshape(grid.shape).astype(np.float32)
    )
    labels = np.zeros(grid.shape, dtype=np.uint8)

    head_first = coronal_view(by_height, labels).gray.astype(int)
    assert head_first[0].mean() > head_first[-1].mean()
    left_last = coronal_view(by_side, labels).gray.astype(int)
    assert left_last[:, 0].mean() < left_last[:, -1].mean()


def test_slices_are_chosen_from_the_labelled_range(source_of):
    source = source_of("ct", slices=30)
    labels = np.zeros(source.volume.grid.shape, dtype=np.uint8)
    labels[10:22] = 1

    captions = [view.caption for view in slice_views(source.volume, labels, 6)]
    assert captions == [f"slice {n} of 30" for n in (12, 14, 16, 18, 20, 22)]


def test_lungs_are_not_black_in_a_soft_tissue_window(source_of):
    volume: Volume = dataclasses.replace(source_of("ct").volume, window=(40.0, 400.0))
    labels = (volume.voxels < -500).astype(np.uint8)

    assert window_of(volume, np.zeros_like(labels)) == (-160, 240)
    assert window_of(volume, labels)[0] < -700


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (3812.4, "ml", "3 812 ml"),
        (3.84, "ml", "3.8 ml"),
        (-812.3, "[hnsf'U]", "-812 HU"),
        (23130.0, "mm2", "231 cm^2"),
        (51.0, "mm2", "51.0 mm^2"),
        (512.0, "{pixels}", "512 pixels"),
        (0.333, "1", "0.33"),
    ],
)
def test_numbers_read_as_in_a_report(value, unit, words):
    assert with_unit(value, unit) == words
