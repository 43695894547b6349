"""A label map → RT Structure Set: closed planar contours in the patient (PS3.3 A.19.3).

One ROI per label that was found; holes are cut into by a channel of no width, because a contour
of RTSTRUCT has no inside border of its own (PS3.3 Section C.8.8.6.3).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from engines.types import BoolArray, Label, SegmentationResult
from node.domain import ObjectForm
from node.encode.case import Case, found_labels
from node.encode.contour_loops import Polygon, area_of, border_loops, keyholed
from node.encode.encoded import Encoded
from node.encode.marking import code_item
from node.encode.reference import image_of, reference, references, start
from node.encode.source import positions
from node.encode.telling import to_patient

_MOST_POINTS = 2000
"""Of one contour: ContourData is a DS of at most 65534 bytes, three numbers of 10 each."""


def write_structure_set(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the borders of every label on every slice; nothing where no label was found."""
    labels = found_labels(result)
    if not labels:
        return []
    context = case.context
    dataset = start(case, ObjectForm.RTSTRUCT, "RTSTRUCT")
    dataset.OperatorsName = ""
    dataset.StructureSetLabel = "AI_CONTOURS"
    dataset.StructureSetName = f"{context.title}, UNVERIFIED"[:64]
    dataset.StructureSetDate = context.made_at.strftime("%Y%m%d")
    dataset.StructureSetTime = context.made_at.strftime("%H%M%S")
    frame_uid = case.headers.images[0].FrameOfReferenceUID
    dataset.FrameOfReferenceUID = frame_uid
    dataset.PositionReferenceIndicator = case.headers.images[0].PositionReferenceIndicator
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(case, result)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, label in enumerate(labels, 1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, label.name[:64]
        roi.ReferencedFrameOfReferenceUID = frame_uid
        roi.ROIGenerationAlgorithm = "AUTOMATIC"
        roi.ROIGenerationDescription = (
            f"{context.provenance.model} {context.provenance.version}, UNVERIFIED"[:64]
        )
        dataset.StructureSetROISequence.append(roi)
        contours = Dataset()
        contours.ROIDisplayColor = list(label.color)
        contours.ReferencedROINumber = number
        contours.ContourSequence = list(_contours(case, result, label))
        dataset.ROIContourSequence.append(contours)
        dataset.RTROIObservationsSequence.append(_observation(number, label))
    dataset.ApprovalStatus = "UNAPPROVED"
    return [Encoded(ObjectForm.RTSTRUCT, dataset)]


def slice_contours(mask: BoolArray) -> list[Polygon]:
    """Make the closed contours of a region on one slice, holes keyholed, in image coordinates."""
    loops = border_loops(mask)
    outers = [loop for loop in loops if area_of(loop) > 0]
    holes: list[list[Polygon]] = [[] for _ in outers]
    for loop in loops:
        if area_of(loop) < 0:
            inside = [n for n, outer in enumerate(outers) if _contains(outer, loop)]
            holes[min(inside, key=lambda n: area_of(outers[n]))].append(loop)
    return [keyholed(outer, inner) for outer, inner in zip(outers, holes, strict=True)]


def _contains(outer: Polygon, loop: Polygon) -> bool:
    """Whether a point just beside a border lies inside a polygon (even-odd rule).

    The point is moved off the corner to the side where the hole's own border has no region.
    """
    step = np.sign(loop[1] - loop[0])
    point = loop[0] + step * 0.25 + np.array([step[1], -step[0]]) * 0.25
    (x1, y1), (x2, y2) = outer[:-1].T, outer[1:].T
    crosses = (y1 > point[1]) != (y2 > point[1])
    at = x1 + (point[1] - y1) * (x2 - x1) / np.where(y2 == y1, 1, y2 - y1)
    return bool(np.count_nonzero(crosses & (at > point[0])) % 2)


def _contours(case: Case, result: SegmentationResult, label: Label) -> Iterator[Dataset]:
    grid = case.source.volume.grid
    places = positions(case.headers.images)
    number = 0
    for k in np.flatnonzero(result.slice_counts[:, label.value]).tolist():
        image, frame = image_of(case, k)
        for outline in slice_contours(result.labelmap[k] == label.value):
            points = to_patient(
                _thinned(outline)[:-1], grid, places[k]
            )  # closed without its last point
            number += 1
            contour = Dataset()
            contour.ContourImageSequence = [reference(image, [] if frame is None else [frame])]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourNumber = number
            contour.ContourData = [format_number_as_ds(round(v, 3)) for v in points.ravel()]
            yield contour


def _thinned(outline: Polygon) -> Polygon:
    """Leave out points of an outline that has too many for one element, evenly."""
    if len(outline) <= _MOST_POINTS:
        return outline
    kept = np.linspace(0, len(outline) - 1, _MOST_POINTS).astype(int)
    thinned: Polygon = outline[kept]
    return thinned


def _frame_of_reference(case: Case, result: SegmentationResult) -> Dataset:
    slices = np.flatnonzero(result.slice_counts[:, 1:].any(axis=1)).tolist()
    series = Dataset()
    series.SeriesInstanceUID = case.headers.images[0].SeriesInstanceUID
    series.ContourImageSequence = references(case, slices)
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = case.context.study_instance_uid
    study.RTReferencedSeriesSequence = [series]
    item = Dataset()
    item.FrameOfReferenceUID = case.headers.images[0].FrameOfReferenceUID
    item.RTReferencedStudySequence = [study]
    return item


def _observation(number: int, label: Label) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.RTROIIdentificationCodeSequence = [code_item(label.type)]
    item.RTROIInterpretedType, item.ROIInterpreter = "ORGAN", ""
    return item
