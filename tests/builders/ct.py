"""A CT series, and the same as one multi-frame image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, LegacyConvertedEnhancedCTImageStorage

from tests.builders.files import change, composite, uid
from tests.builders.phantom import chest

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""ImageOrientationPatient seen from the feet: rows run to the left, columns to the back."""


def ct_series(
    *,
    slices: int = 4,
    rows: int = 16,
    columns: int = 12,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    orientation: tuple[float, ...] = AXIAL,
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
    seed: str = "ct",
    **changes: Any,
) -> list[Dataset]:
    """Build a CT series of `chest`, in the order of its slices.

    Parameters
    ----------
    spacing_mm
        Between slices, rows and columns.
    origin
        Centre of the first voxel, LPS, mm.
    changes
        Attributes of every slice by keyword; None leaves one out.
    """
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    k, j, i = np.meshgrid(*map(np.arange, (slices, rows, columns)), indexing="ij")
    axes = np.stack([np.cross(row, column), column, row]) * np.array(spacing_mm)[:, None]
    points = np.stack([k, j, i], axis=-1) @ axes + np.array(origin)
    low, high = points.min(axis=(0, 1, 2)), points.max(axis=(0, 1, 2))
    voxels = chest((2 * points - low - high) / np.maximum(high - low, 1e-9))
    return [
        change(_slice(voxels[n], points[n, 0, 0], orientation, spacing_mm, seed, n + 1), changes)
        for n in range(slices)
    ]


def _slice(
    hounsfield: npt.NDArray[np.int16],
    position: npt.NDArray[np.float64],
    orientation: tuple[float, ...],
    spacing_mm: tuple[float, float, float],
    seed: str,
    number: int,
) -> Dataset:
    ds = composite(CTImageStorage, "CT", seed, number)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionDate, ds.AcquisitionTime = "20260102", "030405"
    ds.BodyPartExamined, ds.PatientPosition = "CHEST", "HFS"
    ds.AcquisitionNumber, ds.KVP, ds.ConvolutionKernel = "1", "120", "B30"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(seed, "frame"), ""
    ds.ImagePositionPatient = [f"{value:.6f}"[:16] for value in position]
    ds.ImageOrientationPatient = [f"{value:.12f}"[:16] for value in orientation]
    ds.PixelSpacing = [f"{value:g}" for value in spacing_mm[1:]]
    ds.SliceThickness = ds.SpacingBetweenSlices = f"{spacing_mm[0]:g}"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hounsfield.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (hounsfield + 1024).astype("<u2").tobytes()
    return ds


def enhanced_ct(*, slices: int = 4, seed: str = "enhanced", **changes: Any) -> Dataset:
    """Build the CT series as one Legacy Converted Enhanced CT image.

    Parameters
    ----------
    changes
        As for `ct_series`, of every slice before it becomes a frame.
    """
    series = ct_series(slices=slices, seed=seed, **changes)
    first = series[0]
    ds = composite(LegacyConvertedEnhancedCTImageStorage, "CT", seed, 1)
    for keyword in ("BodyPartExamined", "PatientPosition", "FrameOfReferenceUID"):
        change(ds, {keyword: first.get(keyword)})
    ds.PositionReferenceIndicator = ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation, ds.VolumetricProperties = "MONOCHROME", "VOLUME"
    ds.VolumeBasedCalculationTechnique, ds.PresentationLUTShape = "NONE", "IDENTITY"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.AcquisitionDateTime = "20260102030405"
    ds.AcquisitionContextSequence = Sequence()
    ds.NumberOfFrames = str(slices)
    for element in first.group_dataset(0x0028):
        if element.keyword not in _FRAME_KEYWORDS:
            ds[element.tag] = element
    shared = Dataset()
    shared.UnassignedSharedConvertedAttributesSequence = [Dataset()]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_functional_groups(slice_) for slice_ in series]
    ds.PixelData = b"".join(slice_.PixelData for slice_ in series)
    return ds


_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth"),
}
_FRAME_KEYWORDS = {keyword for keywords in _GROUPS.values() for keyword in keywords}


def _functional_groups(slice_: Dataset) -> Dataset:
    item = Dataset()
    for sequence, keywords in _GROUPS.items():
        values = change(Dataset(), {keyword: slice_.get(keyword) for keyword in keywords})
        setattr(item, sequence, [values])
    content = change(Dataset(), {"FrameAcquisitionNumber": int(slice_.AcquisitionNumber)})
    content.FrameReferenceDateTime = content.FrameAcquisitionDateTime = "20260102030405"
    item.FrameContentSequence = [content]
    frame_type = Dataset()
    frame_type.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    frame_type.PixelPresentation, frame_type.VolumetricProperties = "MONOCHROME", "VOLUME"
    frame_type.VolumeBasedCalculationTechnique = "NONE"
    item.CTImageFrameTypeSequence = [frame_type]
    source = Dataset()
    source.ReferencedSOPClassUID = slice_.SOPClassUID
    source.ReferencedSOPInstanceUID = slice_.SOPInstanceUID
    item.UnassignedPerFrameConvertedAttributesSequence = [Dataset()]
    item.ConversionSourceAttributesSequence = [source]
    return item
