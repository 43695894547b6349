"""Measurement groups that viewers draw and take over: outlines in image coordinates (TID 1410).

OHIF 3.13 takes a measurement into its panel in one shape only: a group whose numbers are each
inferred from a polyline, under the tracking identifier of its own tool; it stops at a group, or
a number, without coordinates. So every number here has some.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np

from engines.types import Label, SegmentationResult
from node.encode.case import Case, found_labels
from node.encode.contour import Polygon, outlines
from node.encode.groups import Group, about, measurements, number_of, six_digits
from node.encode.marking import uid
from node.encode.reference import image_of
from node.encode.seg_header import concept
from node.encode.telling import largest_slices, longest_diameter
from node.terminology import AREA, COMMENT, LENGTH, UNITS

TOOL = "Cornerstone3DTools@^0.1.0:"
"""Whose annotations OHIF takes over (dcmjs, adapters of Cornerstone3D)."""


def planar_groups(case: Case, result: SegmentationResult) -> list[Group]:
    """Outline every label where it is largest, with area and longest diameter there.

    What is measured in the whole volume is not in these groups: no outline says it.
    """
    groups: list[Group] = []
    for label in found_labels(result):
        k = largest_slices(result)[label.value]
        outline, *_ = outlines(result.labelmap[k] == label.value)
        pixels = int(np.count_nonzero(result.labelmap[k] == label.value))
        groups.append(_area(case, label, k, outline, pixels))
        if case.source.volume.grid.spacing_known:
            groups.append(_diameter(case, label, k, outline))
    return groups


def part_groups(case: Case, result: SegmentationResult, label: Label) -> list[Group]:
    """Outline the parts of a label on a projection image, largest first.

    The first has the measurements, which are of the whole label; the others their own area.
    """
    mask = result.labelmap[0] == label.value
    groups = []
    for part, outline in enumerate(outlines(mask), 1):
        numbers: list[hd.sr.Measurement] = []
        if part == 1:
            place = [_polyline(case, 0, outline)]
            numbers = measurements(case, result, label, place)
        if numbers:
            groups.append(_group(case, label, part, "PlanarFreehandROI", numbers))
        else:
            pixels = round(abs(_shoelace(outline)))
            groups.append(_area(case, label, 0, outline, pixels, part))
    return groups


def _area(case: Case, label: Label, k: int, outline: Polygon, pixels: int, part: int = 1) -> Group:
    grid = case.source.volume.grid
    if grid.spacing_known:
        _, row_mm, column_mm = grid.spacing_mm
        value, unit = pixels * row_mm * column_mm, "mm2"
    else:
        value, unit = float(pixels), "{pixels}"
    area = number_of(AREA, six_digits(value), UNITS[unit], [_polyline(case, k, outline)])
    return _group(case, label, part, "PlanarFreehandROI", [area])


def _diameter(case: Case, label: Label, k: int, outline: Polygon) -> Group:
    ends, length_mm = longest_diameter(outline, case.source.volume.grid)
    length = number_of(LENGTH, six_digits(length_mm), UNITS["mm"], [_polyline(case, k, ends)])
    return _group(case, label, 1, "Length", [length])


def _group(
    case: Case, label: Label, part: int, tool: str, numbers: Sequence[hd.sr.Measurement]
) -> Group:
    said = about(case.context, label)
    role = ("tracking", str(label.value), label.name, tool, f"part {part}")
    said["tracking_identifier"] = hd.sr.TrackingIdentifier(
        uid=uid(case.context, *role), identifier=TOOL + tool
    )
    group = hd.sr.MeasurementsAndQualitativeEvaluations(**said, measurements=numbers)
    comment = hd.sr.TextContentItem(
        name=concept(COMMENT),
        value=label.name,  # what OHIF calls the measurement in its panel
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
    content = [*group[0].ContentSequence, comment]
    group[0].ContentSequence = hd.sr.ContentSequence(content)
    return group


def _polyline(case: Case, k: int, points: Polygon) -> hd.sr.CoordinatesForMeasurement:
    image, frame = image_of(case, k)
    return hd.sr.CoordinatesForMeasurement(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=points,
        source_image=hd.sr.SourceImageForRegion(
            image.SOPClassUID, image.SOPInstanceUID, None if frame is None else [frame]
        ),
    )


def _shoelace(polygon: Polygon) -> float:
    (x1, y1), (x2, y2) = polygon[:-1].T, polygon[1:].T
    return float(np.sum(x1 * y2 - x2 * y1) / 2)
