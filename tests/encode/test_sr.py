"""The report says every number with its meaning, and says what was not found."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom.sr.codedict import codes

from engines.types import Measurement
from node.domain import ResultKind
from node.encode.base import encode
from node.encode.planar import TOOL
from tests.encode.conftest import LEFT, RIGHT, lungs, make_context, view_of

KINDS = (ResultKind.SEG, ResultKind.SR)


def report(result, source, kinds=KINDS):
    made = {
        one.kind: one.dataset for one in encode(result, source, make_context(source, kinds=kinds))
    }
    buffer = BytesIO()
    made[ResultKind.SR].save_as(buffer, enforce_file_format=True)
    return hd.sr.srread(BytesIO(buffer.getvalue())), made.get(ResultKind.SEG)


def groups_of(document):
    measurements = [
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"
    ]
    return measurements[0].ContentSequence


def items(group, value_type):
    return [item for item in group.ContentSequence if item.ValueType == value_type]


def test_a_volumes_measurements_refer_to_the_segments_they_are_of(source_of):
    source = source_of("ct")
    document, segmentation = report(lungs(source), source)

    assert document.SOPClassUID.name == "Comprehensive 3D SR Storage"
    groups = document.content.get_volumetric_roi_measurement_groups()
    for number, (group, label) in enumerate(zip(groups, (LEFT, RIGHT), strict=True), 1):
        segment = group.referenced_segment
        assert segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert segment.referenced_segment_numbers == [number]
        assert group.tracking_identifier == label.name
        assert group.tracking_uid == segmentation.SegmentSequence[number - 1].TrackingUID
        assert group.finding_type == codes.SCT.Lung


def test_numbers_have_standard_names_units_and_derivations(source_of):
    source = source_of("ct")
    document, _ = report(lungs(source), source)
    group = document.content.get_volumetric_roi_measurement_groups()[0]

    (volume,) = group.get_measurements(name=codes.SCT.Volume)
    assert (volume.value, volume.unit.value) == (2131.5, "ml")
    (mean,) = group.get_measurements(name=codes.DCM.AttenuationCoefficient)
    assert (mean.value, mean.unit, mean.derivation) == (
        -812.25,
        codes.UCUM.HounsfieldUnit,
        codes.SCT.Mean,
    )
    (width,) = group.get_measurements(name=codes.SCT.Width)
    assert (width.value, width.unit.value) == (131, "mm")


def test_what_no_standard_code_names_is_left_out_of_the_report(source_of):
    source = source_of("ct")
    result = dataclasses.replace(
        lungs(source), measurements=(Measurement(LEFT.value, "sphericity", 0.5, "1"),)
    )
    document, _ = report(result, source)

    assert not items(groups_of(document)[0], "NUM")


@pytest.mark.parametrize("kind", ["ct", "DX"])
def test_what_was_not_found_is_said(kind, source_of):
    source = source_of(kind)
    document, _ = report(lungs(source, left=False), source)

    group = groups_of(document)[-1]
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in items(group, "CODE")
    }
    assert said["Finding"] == "Lung"
    assert said["Presence"] == "Not detected"
    assert items(group, "TEXT")[0].TextValue == "Left lung"


def test_every_group_about_a_projection_image_has_coordinates(source_of):
    """OHIF 3.13 stops at a group that has none."""
    source = source_of("CR")
    for result in (lungs(source), lungs(source, left=False)):
        document, _ = report(result, source)
        assert document.SOPClassUID.name == "Comprehensive SR Storage"
        for group in groups_of(document):
            inside = [child for number in items(group, "NUM") for child in number.ContentSequence]
            places = [*items(group, "SCOORD"), *inside]
            assert "SCOORD" in {item.ValueType for item in places}


def test_an_outline_goes_round_the_pixels_of_its_label(source_of):
    source = source_of("DX")
    result = lungs(source)
    document, _ = report(result, source)

    number = items(groups_of(document)[0], "NUM")[0]
    place = next(item for item in number.ContentSequence if item.ValueType == "SCOORD")
    points = place.value
    rows, columns = np.nonzero(result.labelmap[0] == LEFT.value)
    assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]
    assert (points[0] == points[-1]).all()


def test_parts_of_a_label_are_outlined_and_measured_once(source_of):
    source = source_of("DX")
    result = lungs(source)
    result.labelmap[result.labelmap == RIGHT.value] = LEFT.value
    document, _ = report(dataclasses.replace(result, labels=(LEFT,)), source)

    first, second = document.content.get_image_measurement_groups()
    assert first.tracking_identifier == second.tracking_identifier == TOOL + "PlanarFreehandROI"
    assert len(first.get_measurements()) == 3
    (own,) = second.get_measurements()
    assert own.name == codes.SCT.Area
    assert first.tracking_uid != second.tracking_uid


def test_a_volume_without_segmentation_is_reported_on_its_images(source_of):
    source = source_of("ct")
    document, _ = report(lungs(source), source, kinds=(ResultKind.SR,))

    group = document.content.get_image_measurement_groups()[0]
    assert len(group.source_images) == 6


@pytest.mark.parametrize(
    ("predicted", "answer"), [("PA", "antero-posterior"), (None, "Indeterminate")]
)
@pytest.mark.parametrize("kind", ["DX", "ct"])
def test_a_class_or_that_there_is_none_is_said_with_every_probability(
    kind, predicted, answer, source_of
):
    source = source_of(kind)
    document, _ = report(view_of(predicted), source, kinds=(ResultKind.SR,))

    (group,) = groups_of(document)
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in items(group, "CODE")
    }
    assert said["Image View"] == answer
    probabilities = {
        item.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in items(group, "NUM")
    }
    assert probabilities == {"antero-posterior": 0.75, "lateral projection": 0.25}


def test_every_group_names_its_algorithm_and_the_document_what_it_is_not(source_of):
    source = source_of("ct")
    document, _ = report(lungs(source), source)

    for group in groups_of(document):
        texts = [item.TextValue for item in items(group, "TEXT")]
        assert {"lungs", "1.2.0", f"weights_sha256={'cd' * 32}"} <= set(texts)
    comment = document.ContentSequence[-1]
    assert comment.TextValue.startswith("RESEARCH USE ONLY: not for clinical use.")


def test_all_images_and_the_segmentation_are_evidence(source_of):
    source = source_of("ct")
    document, segmentation = report(lungs(source), source)

    referred = {uid for _, _, uid, _ in document.get_evidence(current_procedure_only=True)}
    images = {ds.SOPInstanceUID for ds in source.datasets}
    assert referred == images | {segmentation.SOPInstanceUID}
