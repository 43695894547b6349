"""Measurement groups of a report: one per label, or one for a classification (TID 1410, 1411).

Viewers decide the form. OHIF 3.13 stops at a group without image coordinates, so everything
about a projection image has some: the outline of what was found, or the outline of the whole
image for what was looked for in it. Volumes refer to their segments instead, which is what
TID 1411 asks for; such a report is of its own and is read, not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

import highdicom as hd
import numpy as np

from engines.types import (
    ClassificationResult,
    ClassScore,
    Code,
    Label,
    Measurement,
    SegmentationResult,
)
from node.domain import ResultContext
from node.encode.case import Case, found_labels, missing_labels
from node.encode.contour import Polygon, outlines
from node.encode.marking import algorithm_parameters, uid
from node.encode.seg import concept, tracking_uid
from node.encode.segments import Instance
from node.terminology import (
    ARTIFICIAL_INTELLIGENCE,
    INDETERMINATE,
    NOT_DETECTED,
    PRESENCE,
    PROBABILITY,
    UNITS,
    measurement_concept,
)

Group: TypeAlias = (
    hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
)


class _About(TypedDict):
    """What a group says of its label."""

    tracking_identifier: hd.sr.TrackingIdentifier
    finding_category: hd.sr.CodedConcept
    finding_type: hd.sr.CodedConcept
    algorithm_id: hd.sr.AlgorithmIdentification


def segment_groups(
    case: Case, result: SegmentationResult, segmentations: Sequence[Instance]
) -> list[Group]:
    """Report on every label of a volume: its segment and measurements, or that it is not there.

    Parameters
    ----------
    segmentations
        The objects the segments are in; none where none is written.
    """
    groups: list[Group] = []
    segments = {
        label.value: (one, number)
        for one in segmentations
        for number, label in enumerate(one.labels, 1)
    }
    for label in found_labels(result):
        about = _about(case.context, label)
        numbers = _measurements(case, result, label)
        if label.value not in segments:
            groups.append(
                hd.sr.MeasurementsAndQualitativeEvaluations(
                    **about, measurements=numbers, source_images=_source_images(case)
                )
            )
            continue
        segmentation, number = segments[label.value]
        segment = hd.sr.ReferencedSegment(
            sop_class_uid=segmentation.sop_class_uid,
            sop_instance_uid=segmentation.sop_instance_uid,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(
                case.headers.images[0].SeriesInstanceUID
            ),
        )
        groups.append(
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                **about, referenced_segment=segment, measurements=numbers
            )
        )
    for label in missing_labels(result):
        groups.append(
            hd.sr.MeasurementsAndQualitativeEvaluations(
                **_about(case.context, label),
                qualitative_evaluations=[_not_detected()],
                source_images=_source_images(case),
            )
        )
    return groups


def outline_groups(case: Case, result: SegmentationResult) -> list[Group]:
    """Report on every label of a projection image: its outline and numbers, or its absence.

    A label of several parts has one group per part; the first, of the largest part, has the
    measurements, which are of the whole label.
    """
    groups: list[Group] = []
    for label in found_labels(result):
        polygons = outlines(result.labelmap[0] == label.value)
        for part, polygon in enumerate(polygons, 1):
            groups.append(
                hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    **_about(case.context, label, part),
                    referenced_region=_region(case, polygon),
                    measurements=_measurements(case, result, label) if part == 1 else None,
                )
            )
    for label in missing_labels(result):
        groups.append(
            hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                **_about(case.context, label),
                referenced_region=_region(case, _whole_image(case)),
                qualitative_evaluations=[_not_detected()],
            )
        )
    return groups


def classification_group(case: Case, result: ClassificationResult) -> Group:
    """Report the class chosen and every class's probability.

    A model that abstains says *Indeterminate*. Each probability names its class as a
    modifier of the number's concept.
    """
    chosen = {score.name: score.code for score in result.scores}
    answer = INDETERMINATE if result.predicted is None else chosen[result.predicted]
    tracking = hd.sr.TrackingIdentifier(
        uid=uid(case.context, "tracking", result.concept.value), identifier=result.concept.meaning
    )
    algorithm = _algorithm(case.context)
    evaluation = hd.sr.QualitativeEvaluation(name=concept(result.concept), value=concept(answer))
    probabilities = [_probability(score, result.concept) for score in result.scores]
    if case.source.volume.grid.shape[0] > 1:
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            algorithm_id=algorithm,
            qualitative_evaluations=[evaluation],
            measurements=probabilities,
            source_images=_source_images(case),
        )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        algorithm_id=algorithm,
        qualitative_evaluations=[evaluation],
        measurements=probabilities,
        referenced_region=_region(case, _whole_image(case)),
    )


def _about(context: ResultContext, label: Label, part: int = 1) -> _About:
    """Collect what a group says of its label: tracking, finding, algorithm."""
    whole = part == 1
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=tracking_uid(context, label)
            if whole
            else uid(context, "tracking", str(label.value), label.name, f"part {part}"),
            identifier=label.name if whole else f"{label.name}, part {part}",
        ),
        "finding_category": concept(label.category),
        "finding_type": concept(label.type),
        "algorithm_id": _algorithm(context),
    }


def _algorithm(context: ResultContext) -> hd.sr.AlgorithmIdentification:
    """Algorithm Identification (TID 4019)."""
    parameters = algorithm_parameters(context)
    return hd.sr.AlgorithmIdentification(
        name=context.provenance.model,
        version=context.provenance.version,
        parameters=[f"{name}={value}" for name, value in parameters.items()],
        family=concept(ARTIFICIAL_INTELLIGENCE),
    )


def _measurements(case: Case, result: SegmentationResult, label: Label) -> list[hd.sr.Measurement]:
    of_label = [found for found in result.measurements if found.label == label.value]
    coded = [_measurement(found, case.source.volume.modality) for found in of_label]
    return [measurement for measurement in coded if measurement is not None]


def _measurement(found: Measurement, modality: str) -> hd.sr.Measurement | None:
    """Encode one number (TID 300); None where no standard code says what it is."""
    meaning = measurement_concept(found.name, found.unit, modality)
    if meaning is None:
        return None
    unit = UNITS.get(found.unit, Code(found.unit, "UCUM", found.unit))
    return hd.sr.Measurement(
        name=concept(meaning.concept),
        value=_six_digits(found.value),
        unit=concept(unit),
        derivation=None if meaning.derivation is None else concept(meaning.derivation),
    )


def _probability(score: ClassScore, question: Code) -> hd.sr.Measurement:
    measurement = hd.sr.Measurement(
        name=concept(PROBABILITY),
        value=_six_digits(score.probability),
        unit=concept(UNITS["1"]),
    )
    which_class = hd.sr.CodeContentItem(
        name=concept(question),
        value=concept(score.code),
        relationship_type=hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    measurement[0].ContentSequence = hd.sr.ContentSequence([which_class])
    return measurement


def _six_digits(value: float) -> float:
    """Round to six significant digits: more would claim more than a mask knows."""
    return float(f"{float(value):.6g}")


def _not_detected() -> hd.sr.QualitativeEvaluation:
    return hd.sr.QualitativeEvaluation(name=concept(PRESENCE), value=concept(NOT_DETECTED))


def _source_images(case: Case) -> Sequence[hd.sr.SourceImageForMeasurementGroup]:
    return [
        hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)
        for image in case.headers.images
    ]


def _region(case: Case, polygon: Polygon) -> hd.sr.ImageRegion:
    image = case.headers.images[0]
    frames = case.source.frame_numbers
    return hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=polygon,
        source_image=hd.sr.SourceImageForRegion(
            image.SOPClassUID, image.SOPInstanceUID, None if frames is None else list(frames)
        ),
    )


def _whole_image(case: Case) -> Polygon:
    _, rows, columns = case.source.volume.grid.shape
    return np.array([[0, 0], [columns, 0], [columns, rows], [0, rows], [0, 0]], dtype=np.float64)
