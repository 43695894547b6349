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
from node.encode.contour import Polygon
from node.encode.marking import algorithm_parameters, uid
from node.encode.reference import image_of
from node.encode.seg_header import concept, tracking_uid
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


class _About(TypedDict, total=False):
    """What a group says of its label."""

    tracking_identifier: hd.sr.TrackingIdentifier
    finding_category: hd.sr.CodedConcept
    finding_type: hd.sr.CodedConcept
    algorithm_id: hd.sr.AlgorithmIdentification
    finding_sites: Sequence[hd.sr.FindingSite]


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
        said = about(case.context, label)
        numbers = measurements(case, result, label)
        if label.value not in segments:
            groups.append(
                hd.sr.MeasurementsAndQualitativeEvaluations(
                    **said, measurements=numbers, source_images=_source_images(case)
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
                **said, referenced_segment=segment, measurements=numbers
            )
        )
    for label in missing_labels(result):
        groups.append(
            hd.sr.MeasurementsAndQualitativeEvaluations(
                **about(case.context, label),
                qualitative_evaluations=[_not_detected()],
                source_images=_source_images(case),
            )
        )
    return groups


def absent_groups(case: Case, result: SegmentationResult, k: int = 0) -> list[Group]:
    """Report on every label that was looked for and is not there, with the outline of a slice."""
    return [
        hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **about(case.context, label),
            referenced_region=_region(case, _whole_image(case), k),
            qualitative_evaluations=[_not_detected()],
        )
        for label in missing_labels(result)
    ]


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


def about(context: ResultContext, label: Label) -> _About:
    """Collect what a group says of its label: tracking, finding, algorithm."""
    said: _About = {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=tracking_uid(context, label), identifier=label.name
        ),
        "finding_category": concept(label.category),
        "finding_type": concept(label.type),
        "algorithm_id": _algorithm(context),
    }
    if label.site is not None:
        laterality = None if label.laterality is None else concept(label.laterality)
        said["finding_sites"] = [hd.sr.FindingSite(concept(label.site), laterality=laterality)]
    return said


def _algorithm(context: ResultContext) -> hd.sr.AlgorithmIdentification:
    """Algorithm Identification (TID 4019)."""
    parameters = algorithm_parameters(context)
    return hd.sr.AlgorithmIdentification(
        name=context.provenance.model,
        version=context.provenance.version,
        parameters=[f"{name}={value}" for name, value in parameters.items()],
        family=concept(ARTIFICIAL_INTELLIGENCE),
    )


def measurements(
    case: Case,
    result: SegmentationResult,
    label: Label,
    places: Sequence[hd.sr.CoordinatesForMeasurement] | None = None,
) -> list[hd.sr.Measurement]:
    """Encode the numbers about a label that have a standard code.

    Parameters
    ----------
    places
        Coordinates that each number is inferred from.
    """
    of_label = [found for found in result.measurements if found.label == label.value]
    coded = [_measurement(found, case.source.volume.modality, places) for found in of_label]
    return [measurement for measurement in coded if measurement is not None]


def number_of(
    name: Code,
    value: float,
    unit: Code,
    places: Sequence[hd.sr.CoordinatesForMeasurement] | None = None,
    derivation: Code | None = None,
) -> hd.sr.Measurement:
    """Encode one number (TID 300)."""
    return hd.sr.Measurement(
        name=concept(name),
        value=value,
        unit=concept(unit),
        derivation=None if derivation is None else concept(derivation),
        referenced_coordinates=places,
    )


def _measurement(
    found: Measurement, modality: str, places: Sequence[hd.sr.CoordinatesForMeasurement] | None
) -> hd.sr.Measurement | None:
    """Encode one number (TID 300); None where no standard code says what it is."""
    meaning = measurement_concept(found.name, found.unit, modality)
    if meaning is None:
        return None
    unit = UNITS.get(found.unit, Code(found.unit, "UCUM", found.unit))
    value = six_digits(found.value)
    return number_of(meaning.concept, value, unit, places, meaning.derivation)


def _probability(score: ClassScore, question: Code) -> hd.sr.Measurement:
    measurement = hd.sr.Measurement(
        name=concept(PROBABILITY),
        value=six_digits(score.probability),
        unit=concept(UNITS["1"]),
    )
    which_class = hd.sr.CodeContentItem(
        name=concept(question),
        value=concept(score.code),
        relationship_type=hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    measurement[0].ContentSequence = hd.sr.ContentSequence([which_class])
    return measurement


def six_digits(value: float) -> float:
    """Round to six significant digits: more would claim more than a mask knows."""
    return float(f"{float(value):.6g}")


def _not_detected() -> hd.sr.QualitativeEvaluation:
    return hd.sr.QualitativeEvaluation(name=concept(PRESENCE), value=concept(NOT_DETECTED))


def _source_images(case: Case) -> Sequence[hd.sr.SourceImageForMeasurementGroup]:
    return [
        hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)
        for image in case.headers.images
    ]


def _region(case: Case, polygon: Polygon, k: int = 0) -> hd.sr.ImageRegion:
    image, frame = image_of(case, k)
    return hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=polygon,
        source_image=hd.sr.SourceImageForRegion(
            image.SOPClassUID, image.SOPInstanceUID, None if frame is None else [frame]
        ),
    )


def _whole_image(case: Case) -> Polygon:
    _, rows, columns = case.source.volume.grid.shape
    return np.array([[0, 0], [columns, 0], [columns, rows], [0, rows], [0, 0]], dtype=np.float64)
