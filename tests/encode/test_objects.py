"""Every other form says what the result says, where it is, in the images it was made of."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest

from engines.types import Code, ImageResult, Label, Measurement, SegmentationResult
from node.domain import ObjectForm, Packing, Predecessor
from node.encode.base import encode, possible_forms
from node.encode.contour_loops import area_of, border_loops
from node.encode.planar import TOOL
from node.encode.structure_set import slice_contours
from tests.encode.conftest import (
    LEFT,
    OBLIQUE,
    RIGHT,
    lungs,
    make_context,
    view_of,
    with_probabilities,
)


def written(result, source, form, **changes):
    packing = changes.pop("packing", None)
    made = encode(result, source, make_context(source, **changes), [form], packing=packing)
    return [one.read() for one in made]


def ring(source, k):
    """A square with a hole that touches its corner diagonally, and a second square."""
    labelmap = np.zeros(source.volume.grid.shape, dtype=np.uint8)
    labelmap[k, 2:9, 2:9] = LEFT.value
    labelmap[k, 4:6, 4:6] = 0
    labelmap[k, 6, 6] = 0
    labelmap[k, 12:14, 1:4] = LEFT.value
    return SegmentationResult(labelmap, (LEFT, RIGHT), (Measurement(2, "volume", 1.5, "ml"),))


@pytest.mark.parametrize("seed", range(8))
def test_the_borders_of_any_region_enclose_its_pixels(seed):
    mask = np.random.default_rng(seed).random((11, 9)) < 0.45 + 0.05 * seed
    loops = border_loops(mask)

    assert sum(area_of(loop) for loop in loops) == mask.sum()
    assert all((loop[0] == loop[-1]).all() for loop in loops)


@pytest.mark.parametrize("seed", range(8))
def test_keyholed_contours_have_the_area_of_the_region(seed):
    mask = np.random.default_rng(seed).random((12, 10)) < 0.5 + 0.05 * seed
    contours = slice_contours(mask)

    assert sum(area_of(contour) for contour in contours) == mask.sum()


@pytest.mark.parametrize("kind", ["ct", "enhanced", "oblique"])
def test_contours_lie_on_their_slices_in_the_patient(kind, source_of):
    source = source_of("ct", orientation=OBLIQUE) if kind == "oblique" else source_of(kind)
    result = ring(source, 3)
    (ds,) = written(result, source, ObjectForm.RTSTRUCT)

    (contours,) = ds.ROIContourSequence
    assert list(contours.ROIDisplayColor) == list(LEFT.color)
    assert ds.StructureSetROISequence[0].ROIName == "Left lung"
    back = np.linalg.inv(source.volume.grid.affine)
    polygons = []
    for contour in contours.ContourSequence:
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        k, j, i = (np.c_[points, np.ones(len(points))] @ back.T).T[:3]
        assert np.abs(k - 3).max() < 1e-3
        polygons.append(np.c_[i + 0.5, j + 0.5])
        (image,) = contour.ContourImageSequence
        if source.frame_numbers is None:
            assert image.ReferencedSOPInstanceUID == source.datasets[3].SOPInstanceUID
        else:
            assert image.ReferencedFrameNumber == source.frame_numbers[3]
    areas = [abs(area_of(np.vstack([each, each[:1]]))) for each in polygons]
    assert sum(areas) == pytest.approx((result.labelmap[3] > 0).sum(), abs=0.05)


def test_a_presentation_state_outlines_labels_and_names_each_once(source_of):
    source = source_of("ct")
    result = ring(source, 2)
    (ds,) = written(result, source, ObjectForm.PR)

    (annotation,) = ds.GraphicAnnotationSequence
    (image,) = annotation.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == source.datasets[2].SOPInstanceUID
    assert annotation.TextObjectSequence[0].UnformattedTextValue == "Left lung (AI, unverified)"
    loops = [
        np.array(graphic.GraphicData).reshape(-1, 2) - 0.5
        for graphic in annotation.GraphicObjectSequence
    ]
    assert sum(area_of(loop) for loop in loops) == (result.labelmap[2] > 0).sum()
    assert (ds.RescaleSlope, ds.RescaleIntercept) == (1, -1024)


def test_each_label_of_a_presentation_state_has_a_layer_in_its_colour(source_of):
    source = source_of("ct")
    result = lungs(source)
    (ds,) = written(result, source, ObjectForm.PR)
    (seg,) = written(result, source, ObjectForm.SEG_BINARY)

    colours = {
        layer.GraphicLayer: list(layer.GraphicLayerRecommendedDisplayCIELabValue)
        for layer in ds.GraphicLayerSequence
    }
    assert list(colours.values()) == [
        list(segment.RecommendedDisplayCIELabValue) for segment in seg.SegmentSequence
    ]
    named = {
        text.UnformattedTextValue: colours[annotation.GraphicLayer]
        for annotation in ds.GraphicAnnotationSequence
        for text in annotation.get("TextObjectSequence", [])
    }
    assert named == {
        f"{segment.SegmentLabel} (AI, unverified)": list(segment.RecommendedDisplayCIELabValue)
        for segment in seg.SegmentSequence
    }


def test_a_presentation_state_of_unequal_slopes_is_not_written(source_of):
    source = source_of("ct")
    source.datasets[1].RescaleSlope = "2"

    assert written(lungs(source), source, ObjectForm.PR) == []


def test_key_objects_are_the_slices_of_the_largest_areas(source_of):
    source = source_of("ct")
    result = lungs(source)
    result.labelmap[4] = 0
    result.labelmap[3, :, :6] = 0
    (ds,) = written(result, source, ObjectForm.KO)

    text, *images = ds.ContentSequence
    referred = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images]
    largest = {int((result.labelmap == v).sum(axis=(1, 2)).argmax()) for v in (2, 5)}
    assert referred == [source.datasets[k].SOPInstanceUID for k in sorted(largest)]
    assert "Left lung: slice" in text.TextValue
    assert "UNVERIFIED" in text.TextValue


def test_where_nothing_is_found_there_is_nothing_to_point_at(source_of):
    source = source_of("ct")
    nothing = lungs(source, left=False, right=False)
    for form in (ObjectForm.KO, ObjectForm.PR, ObjectForm.RTSTRUCT):
        assert written(nothing, source, form) == []


@pytest.mark.parametrize("kind", ["ct", "enhanced"])
def test_a_planar_report_of_nothing_says_so_on_the_middle_slice(kind, source_of):
    source = source_of(kind)
    nothing = lungs(source, left=False, right=False)
    (ds,) = written(nothing, source, ObjectForm.SR_2D)

    assert len(groups_of(ds)) == 2
    for group in groups_of(ds):
        place = next(item for item in group.ContentSequence if item.ValueType == "SCOORD")
        image = place.ContentSequence[0].ReferencedSOPSequence[0]
        if kind == "ct":
            assert image.ReferencedSOPInstanceUID == source.datasets[3].SOPInstanceUID
        else:
            assert image.ReferencedFrameNumber == source.frame_numbers[3]
    assert "Not detected: Left lung, Right lung." in ds.ContentSequence[-1].TextValue


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1"])
def test_frames_show_every_slice_of_the_labelled_range(syntax, source_of):
    source = source_of("ct")
    result = lungs(source)
    (ds,) = written(
        result, source, ObjectForm.SC_MULTIFRAME, packing=Packing(transfer_syntax_uid=syntax)
    )

    frames = ds.pixel_array
    labelled = np.flatnonzero(result.labelmap.any(axis=(1, 2)))
    assert len(frames) == ds.NumberOfFrames == len(labelled)
    assert list(ds.FrameLabelVector) == [f"slice {k + 1}" for k in labelled]
    colored = frames.max(axis=-1).astype(int) - frames.min(axis=-1)
    assert (colored > 60).any(axis=(1, 2)).all()


def test_a_parametric_map_is_float_and_has_the_probabilities(source_of):
    source = source_of("ct")
    result = with_probabilities(lungs(source))
    first, second = written(result, source, ObjectForm.PM)

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    for ds, number in ((first, 1), (second, 0)):
        values = np.frombuffer(ds.FloatPixelData, "<f4").reshape(-1, ds.Rows, ds.Columns)
        expected = result.probabilities[number]
        used = expected.any(axis=(1, 2))
        assert np.allclose(values, expected[used] / 255)
        mapping = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"


@pytest.mark.parametrize("change", [lambda v: v - 40, lambda v: v * np.float32(1.013) + 0.3])
def test_a_derived_series_reads_back_as_the_image(change, source_of):
    source = source_of("ct")
    voxels = change(source.volume.voxels).astype(np.float32)
    series = written(ImageResult(voxels, "Denoised"), source, ObjectForm.DERIVED)

    assert len(series) == len(source.datasets)
    for k, (ds, original) in enumerate(zip(series, source.datasets, strict=True)):
        values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.abs(values - voxels[k]).max() <= float(ds.RescaleSlope) / 2 + 1e-4
        assert ds.FrameOfReferenceUID == original.FrameOfReferenceUID
        assert ds.ImagePositionPatient == original.ImagePositionPatient
        assert ds.KVP == original.KVP
        assert list(ds.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert ds.DerivationDescription == "Denoised; AI, UNVERIFIED"
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert len({ds.SOPInstanceUID for ds in series}) == len(series)


def test_whole_hounsfield_units_keep_the_scale_of_the_source(source_of):
    source = source_of("ct")
    result = ImageResult(source.volume.voxels - 40, "Shifted")
    first, *_ = written(result, source, ObjectForm.DERIVED)

    assert (first.RescaleSlope, first.RescaleIntercept) == (1, -1024)


@pytest.mark.parametrize("title", ["Lungs", "肺部分割 모델 けんさ Ünï ✓"])
def test_a_pdf_opens_whatever_the_script(title, source_of):
    source = source_of("ct", PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192")
    for result in (lungs(source), lungs(source, left=False, right=False), view_of(None)):
        (ds,) = written(result, source, ObjectForm.PDF, title=title)
        content = bytes(ds.EncapsulatedDocument)
        assert content.startswith(b"%PDF-")
        assert content[: ds.EncapsulatedDocumentLength].rstrip().endswith(b"%%EOF")
        assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"


def groups_of(ds):
    return ds.ContentSequence[-2].ContentSequence


def test_every_number_of_a_planar_report_has_its_outline(source_of):
    """OHIF 3.13 takes nothing else over, and stops at a number without coordinates."""
    source = source_of("ct")
    (ds,) = written(lungs(source), source, ObjectForm.SR_2D)

    groups = groups_of(ds)
    assert len(groups) == 4
    for group, tool in zip(groups, ["PlanarFreehandROI", "Length"] * 2, strict=True):
        texts = {
            item.ConceptNameCodeSequence[0].CodeValue: item.TextValue
            for item in group.ContentSequence
            if item.ValueType == "TEXT"
        }
        assert texts["112039"] == TOOL + tool
        numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        assert numbers
        for number in numbers:
            (coordinates,) = number.ContentSequence
            assert (coordinates.ValueType, coordinates.GraphicType) == ("SCOORD", "POLYLINE")
            assert coordinates.ContentSequence[0].RelationshipType == "SELECTED FROM"
    assert "volume" in ds.ContentSequence[-1].TextValue


def test_the_area_of_an_outline_is_that_of_its_pixels(source_of):
    source = source_of("ct")
    result = lungs(source)
    (ds,) = written(result, source, ObjectForm.SR_2D)

    area = next(item for item in groups_of(ds)[0].ContentSequence if item.ValueType == "NUM")
    pixels = (result.labelmap == LEFT.value).sum(axis=(1, 2)).max()
    _, rows_mm, columns_mm = source.volume.grid.spacing_mm
    value = float(area.MeasuredValueSequence[0].NumericValue)
    assert value == pytest.approx(pixels * rows_mm * columns_mm, rel=1e-4)


def test_a_site_and_a_side_are_findings_sites(source_of):
    source = source_of("ct")
    result = lungs(source)
    lobe = Code("45653009", "SCT", "Upper lobe of lung")
    left = Code("7771000", "SCT", "Left")
    labels = tuple(
        dataclasses.replace(label, site=lobe, laterality=left) for label in result.labels
    )
    (ds,) = written(dataclasses.replace(result, labels=labels), source, ObjectForm.SR_2D)

    site = next(
        item
        for item in groups_of(ds)[0].ContentSequence
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "363698007"
    )
    assert site.ConceptCodeSequence[0].CodeMeaning == "Upper lobe of lung"
    assert site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning == "Left"


@pytest.mark.parametrize("form", [ObjectForm.SR_3D, ObjectForm.SR_2D])
def test_a_report_names_the_report_it_supersedes(form, source_of):
    source = source_of("ct")
    earlier = Predecessor(str(form.sop_class_uid), "2.25.77", "2.25.78")
    (ds,) = written(lungs(source), source, form, predecessors=(earlier,))

    (study,) = ds.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.77"


@pytest.mark.parametrize("kind", ["ct", "enhanced", "CR", "DX"])
def test_every_possible_form_is_the_same_bytes_twice(kind, source_of):
    source = source_of(kind)
    result = with_probabilities(lungs(source))
    forms = possible_forms(result, source)
    first, second = (
        [b"".join(one.chunks()) for one in encode(result, source, make_context(source), forms)]
        for _ in range(2)
    )
    assert first == second
    assert len(first) >= len(forms)
    assert all(len(content) % 2 == 0 for content in first)
    assert BytesIO(first[0]).read(132).endswith(b"DICM")


def test_a_name_that_is_long_breaks_no_object(source_of):
    source = source_of("ct")
    label = Label(2, "Very " * 30, LEFT.category, LEFT.type, LEFT.color)
    result = with_probabilities(dataclasses.replace(lungs(source, right=False), labels=(label,)))
    forms = possible_forms(result, source)

    assert encode(result, source, make_context(source), forms)
