r"""An image that a model has made → a derived series of the source's own SOP Class.

One single-frame instance per slice, with the header of the slice it comes from: same patient,
study, Frame of Reference, position and acquisition; DERIVED\SECONDARY, with a description of
what was done and a reference to the source (PS3.3 Section C.7.6.1.1.2, C.7.6.1.1.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from engines.types import FloatArray, ImageResult
from node.domain import ObjectForm
from node.encode.case import Case
from node.encode.compression import declare, pixel_data, usable_syntax
from node.encode.encoded import Encoded
from node.encode.identity import element, plain_copy
from node.encode.marking import code_item
from node.encode.reference import reference, start
from node.encode.text import numbers, text_value, text_values
from node.errors import PermanentError
from node.terminology import SOURCE_FOR_PROCESSING

_GROUPS = {0x0008, 0x0018, 0x0020, 0x0028, 0x0040, 0x0054}
"""Groups of the header that are kept: acquisition, relationship, image, real world values."""

_NOT_KEPT = {
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "SeriesDescription", "SpecificCharacterSet", "Manufacturer", "ManufacturerModelName",
    "DeviceSerialNumber", "SoftwareVersions", "StationName", "InstitutionName",
    "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID", "ContentDate",
    "ContentTime", "SeriesDate", "SeriesTime", "ReferencedImageSequence", "SourceImageSequence",
    "SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "NumberOfFrames", "ContributingEquipmentSequence",
    "RescaleSlope", "RescaleIntercept", "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries", "ImageType", "PhotometricInterpretation",
}  # fmt: skip


def write_derived(case: Case, result: ImageResult) -> list[Encoded]:
    """Encode every slice of an image as an instance of the source's SOP Class.

    Raises
    ------
    PermanentError
        If the image is not on the source's grid.
    """
    if result.voxels.shape != case.source.volume.grid.shape:
        raise PermanentError(
            f"the image is {result.voxels.shape}, the source is {case.source.volume.grid.shape}"
        )
    slope, intercept = _rescale(case, result.voxels)
    syntax = usable_syntax(case.packing.transfer_syntax_uid)

    def pixels(k: int) -> Iterator[bytes]:
        stored = _stored(result.voxels[k], float(slope), float(intercept))
        return pixel_data([stored], stored.nbytes, syntax, bits_allocated=16)

    made = []
    for k in range(len(result.voxels)):
        dataset = _header(case, result, k, slope, intercept)
        declare(dataset, syntax)
        made.append(Encoded(ObjectForm.DERIVED, dataset, partial(pixels, k)))
    return made


def _header(case: Case, result: ImageResult, k: int, slope: str, intercept: str) -> Dataset:
    source, image = case.source.datasets[k], case.headers.images[k]
    dataset = start(case, ObjectForm.DERIVED, text_value(source, "Modality"), str(k + 1))
    kept = _kept(source)
    dataset.update(plain_copy(source, kept))
    dataset.update(_others(source, kept, dataset))
    dataset.InstanceNumber = k + 1
    kind = text_values(source, "ImageType")[2:] or ["OTHER"]
    dataset.ImageType = ["DERIVED", "SECONDARY", *kind]
    dataset.DerivationDescription = f"{result.description}; AI, UNVERIFIED"[:1024]
    derived_from = reference(image)
    derived_from.PurposeOfReferenceCodeSequence = [code_item(SOURCE_FOR_PROCESSING)]
    dataset.SourceImageSequence = [derived_from]
    dataset.ContentQualification = case.context.content_qualification
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.Rows, dataset.Columns = result.voxels.shape[1:]
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    return dataset


def _stored(voxels: FloatArray, slope: float, intercept: float) -> npt.NDArray[np.int16]:
    stored = np.rint((voxels.astype(np.float64) - intercept) / slope)
    return np.clip(stored, -32768, 32767).astype(np.int16)


def _kept(source: Dataset) -> list[str]:
    return [
        element.keyword
        for element in source
        if element.tag.group in _GROUPS and element.keyword and element.keyword not in _NOT_KEPT
    ]


def _others(source: Dataset, keywords: list[str], copied: Dataset) -> Dataset:
    """Copy what `plain_copy` leaves out: binary numbers, and what is empty (Type 2)."""
    copy = Dataset()
    for keyword in keywords:
        if dictionary_VR(keyword) in {"US", "UL", "SS", "SL", "FL", "FD"}:
            copy[keyword] = source[keyword]
        elif keyword not in copied and source[keyword].is_empty:
            copy.add(element(keyword, [] if dictionary_VR(keyword) == "SQ" else None))
    return copy


def _rescale(case: Case, voxels: FloatArray) -> tuple[str, str]:
    """Slope and intercept as they are written, so that what is read back is what was meant.

    The source's own where every value fits them exactly; else the finest that 16 bits allow.
    """
    header = case.source.datasets[0]
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    if slope is not None and intercept is not None and slope[0] > 0:
        stored = (voxels.astype(np.float64) - intercept[0]) / slope[0]
        whole = np.abs(stored - np.rint(stored)).max() < 1e-3
        if whole and stored.min() >= -32768 and stored.max() <= 32767:
            return format_number_as_ds(slope[0]), format_number_as_ds(intercept[0])
    low, high = float(voxels.min()), float(voxels.max())
    if text_value(header, "Modality") == "PT":  # RescaleIntercept is 0 (PS3.3 Section C.8.9.4)
        return format_number_as_ds(max(-low, high, 1e-9) / 32767), "0"
    written = format_number_as_ds(max((high - low) / 65534, 1e-9))
    return written, format_number_as_ds((low + high) / 2)
