"""A chest radiograph."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
)

from tests.builders.files import change, composite
from tests.builders.phantom import chest


def radiograph(
    *, rows: int = 64, columns: int = 56, modality: str = "DX", seed: str = "dx", **changes: Any
) -> Dataset:
    """Build a postero-anterior radiograph of `chest`, bright = more attenuation.

    The patient's left is on the right, the head is up; 12 bits, 0.2 mm between rows and
    0.15 mm between columns.

    Parameters
    ----------
    modality
        ``"DX"`` or ``"CR"``.
    changes
        Attributes by keyword; None leaves one out. ``PhotometricInterpretation=
        "MONOCHROME1"`` changes the word and not the pixels.
    """
    z, y, x = np.meshgrid(
        np.linspace(1, -1, rows), np.linspace(-1, 1, 40), np.linspace(-1, 1, columns), indexing="ij"
    )
    attenuation = (chest(np.stack([x, y, z], axis=-1)).astype(np.float64) + 1000).mean(axis=1)
    pixels = (4000 * attenuation / attenuation.max()).astype("<u2")

    dx = modality == "DX"
    sop_class = DigitalXRayImageStorageForPresentation if dx else ComputedRadiographyImageStorage
    ds = composite(sop_class, modality, seed, 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.AcquisitionDate, ds.AcquisitionTime = "20260102", "030405"
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.ImagerPixelSpacing = ["0.2", "0.15"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = "2000", "4000"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    if dx:
        _add_dx(ds)
    return change(ds, changes)


def _add_dx(ds: Dataset) -> None:
    """Add what the DX modules ask for beyond CR (PS3.3 Section A.26)."""
    ds.PresentationIntentType, ds.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.ImageLaterality, ds.DetectorType, ds.DetectorID = "U", "DIRECT", "1"
    ds.PositionerType, ds.KVP = "", "120"
    ds.AcquisitionContextSequence = Sequence()
    ds.AnatomicRegionSequence = [_code("43799004", "SCT", "Thoracic cavity structure")]
    view = _code("399348003", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = Sequence()
    ds.ViewCodeSequence = [view]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
