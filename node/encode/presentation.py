"""A result → Grayscale Softcopy Presentation State: outlines and names on the images themselves.

For viewers that show no Segmentation (PS3.3 A.33.1). Coordinates are those of the pixels; the
window is the one of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from engines.types import BuiltInResult, Label, SegmentationResult
from node.domain import ObjectForm
from node.encode.capture import set_body_part
from node.encode.case import Case, found_labels
from node.encode.contour import Polygon, simplify
from node.encode.contour_loops import border_loops
from node.encode.encoded import Encoded
from node.encode.reference import image_of, reference, references, start
from node.encode.source import frame_group
from node.encode.telling import largest_slices
from node.encode.text import numbers, text_value
from node.encode.view import window_of

_MOST_LOOPS = 24
"""Of one label on one slice: more is noise, and viewers draw every point."""


def write_presentation(case: Case, result: BuiltInResult) -> list[Encoded]:
    """Outline every label on every slice, and name it where it is largest.

    Nothing where no label was found. Images of different rescale slopes have none: one
    presentation state has one modality transformation (PS3.3 Section C.11.1).
    """
    if not isinstance(result, SegmentationResult) or not found_labels(result):
        return []
    rescale = _rescale(case)
    if rescale is None:
        return []
    dataset = start(case, ObjectForm.PR, "PR")
    dataset.update(rescale)
    set_body_part(dataset, case.headers.acquisition)
    slices = np.flatnonzero(result.slice_counts[:, 1:].any(axis=1)).tolist()
    dataset.ContentLabel = "AI_OUTLINES"
    dataset.ContentDescription = f"{case.context.title}, UNVERIFIED"[:64]
    dataset.ContentCreatorName = ""
    moment = case.context.made_at
    dataset.PresentationCreationDate = moment.strftime("%Y%m%d")
    dataset.PresentationCreationTime = moment.strftime("%H%M%S")
    series = Dataset()
    series.SeriesInstanceUID = case.headers.images[0].SeriesInstanceUID
    series.ReferencedImageSequence = references(case, slices)
    dataset.ReferencedSeriesSequence = [series]
    dataset.DisplayedAreaSelectionSequence = [_displayed_area(case)]
    dataset.GraphicAnnotationSequence = list(_annotations(case, result, slices))
    dataset.GraphicLayerSequence = [_layer(label) for label in found_labels(result)]
    dataset.SoftcopyVOILUTSequence = [_window(case, result)]
    dataset.PresentationLUTShape = "INVERSE" if _is_inverse(case) else "IDENTITY"
    return [Encoded(ObjectForm.PR, dataset)]


def _layer(label: Label) -> Dataset:
    """Make the layer of one label, in its colour (PS3.3 Section C.10.7)."""
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = _layer_name(label), label.value
    layer.GraphicLayerDescription = f"{label.name}, AI, UNVERIFIED"[:64]
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    color = hd.color.CIELabColor.from_rgb(*label.color)
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(color.value)
    return layer


def _layer_name(label: Label) -> str:
    return f"UNVERIFIED {label.value}"


def _annotations(case: Case, result: SegmentationResult, slices: list[int]) -> Iterator[Dataset]:
    """Give one annotation for each label on each slice: its layer has its colour."""
    named = largest_slices(result)
    for k in slices:
        image, frame = image_of(case, k)
        for label in found_labels(result):
            if not result.slice_counts[k, label.value]:
                continue
            loops = border_loops(result.labelmap[k] == label.value)
            loops = sorted(loops, key=len, reverse=True)[:_MOST_LOOPS]
            annotation = Dataset()
            annotation.GraphicLayer = _layer_name(label)
            numbers_of_frame = [] if frame is None else [frame]
            annotation.ReferencedImageSequence = [reference(image, numbers_of_frame)]
            annotation.GraphicObjectSequence = [_polyline(simplify(loop)) for loop in loops]
            if named[label.value] == k:
                annotation.TextObjectSequence = [_text(label, loops[0], result.labelmap.shape[1:])]
            yield annotation


def _polyline(points: Polygon) -> Dataset:
    """Draw a closed outline; the first pixel's centre is (1, 1) (PS3.3 Section C.10.5.1.2)."""
    item = Dataset()
    item.GraphicAnnotationUnits, item.GraphicDimensions = "PIXEL", 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = (points + 0.5).astype(np.float32).ravel().tolist()
    item.GraphicType, item.GraphicFilled = "POLYLINE", "N"
    return item


def _text(label: Label, outline: Polygon, shape: tuple[int, ...]) -> Dataset:
    column, row = outline[outline[:, 1].argmin()]
    item = Dataset()
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.AnchorPoint = [float(min(column + 1, shape[1])), float(max(row - 2, 1))]
    item.AnchorPointVisibility = "N"
    item.UnformattedTextValue = f"{label.name} (AI, unverified)"
    return item


def _displayed_area(case: Case) -> Dataset:
    _, rows, columns = case.source.volume.grid.shape
    _, row_mm, column_mm = case.source.volume.grid.spacing_mm
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [columns, rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    if case.source.volume.grid.spacing_known:
        spacing = [format_number_as_ds(row_mm), format_number_as_ds(column_mm)]
        area.PresentationPixelSpacing = spacing
    else:
        area.PresentationPixelAspectRatio = [1, 1]
    return area


def _window(case: Case, result: SegmentationResult) -> Dataset:
    low, high = window_of(case.source.volume, result.labelmap)
    if _is_inverse(case) and case.source.volume.unit == "1":
        # The reader has inverted the values (`node.dicom.image`); what is stored has not.
        total = _stored_range(case.headers.acquisition)
        low, high = total - high, total - low
    item = Dataset()
    item.WindowCenter = format_number_as_ds((low + high) / 2)
    item.WindowWidth = format_number_as_ds(max(high - low, 1.0))
    return item


def _stored_range(header: Dataset) -> float:
    """Sum of the least and the greatest value that a pixel can have, rescaled."""
    bits = int(header.get("BitsStored", 16))
    total = -1.0 if header.get("PixelRepresentation", 0) == 1 else 2.0**bits - 1
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return total
    return total * slope[0] + 2 * intercept[0]


def _is_inverse(case: Case) -> bool:
    return text_value(case.headers.acquisition, "PhotometricInterpretation") == "MONOCHROME1"


def _rescale(case: Case) -> Dataset | None:
    """Find the one modality transformation of all slices; None where they differ."""
    found = {_rescale_of(case, k) for k in range(case.source.volume.grid.shape[0])}
    if len(found) != 1:
        return None
    (pair,) = found
    rescale = Dataset()
    if pair is not None:
        slope, intercept = pair
        rescale.RescaleIntercept = format_number_as_ds(intercept)
        rescale.RescaleSlope = format_number_as_ds(slope)
        rescale.RescaleType = "HU" if case.source.volume.unit == "[hnsf'U]" else "US"
    return rescale


def _rescale_of(case: Case, k: int) -> tuple[float, float] | None:
    header = case.source.datasets[0]
    if case.source.frame_numbers is None:
        header = case.source.datasets[k]
    else:
        number = case.source.frame_numbers[k] - 1
        header = frame_group(header, number, "PixelValueTransformationSequence") or header
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    return None if slope is None or intercept is None else (slope[0], intercept[0])
