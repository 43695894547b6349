"""The toy's result as a Secondary Capture image of one slice."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from toy_task import Brightest

from node.domain import ObjectForm
from node.encode.base import Encoded, write
from node.encode.case import Case


@write.register
def write_brightest(result: Brightest, case: Case) -> list[Encoded]:
    """Write the slice with the brightest voxel; the core marks and numbers it."""
    low, high = float(result.slice_.min()), max(float(result.slice_.max()), 1.0)
    pixels = np.clip((result.slice_ - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = case.uid(ObjectForm.SC, "instance")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Modality, ds.ConversionType = "OT", "WSD"
    ds.DerivationDescription = f"Brightest voxel: {result.value:g} at {result.index}"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    return [Encoded(ObjectForm.SC, ds)]
