"""A result → Secondary Capture: one picture for viewers that show nothing else (PS3.3 A.8.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from engines.types import BuiltInResult
from node.domain import ObjectForm
from node.encode.case import Case
from node.encode.identity import plain_copy
from node.encode.picture import render_picture
from node.encode.source import LOSSY, body_part
from node.encode.text import text_value


def write_capture(case: Case, result: BuiltInResult) -> list[Dataset]:
    """Encode the picture of a result as an RGB image.

    Text is burned in; none of it is about the patient. *BodyPartExamined* is the source's;
    where it has none, an empty *Laterality* says that it is not known whether the part is
    one of a pair (PS3.3 Section C.7.3.1).
    """
    context = case.context
    picture = render_picture(result, case.source, context)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = case.uid(ObjectForm.SC, "instance")
    dataset.file_meta = _file_meta(dataset)
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.ContentQualification = context.content_qualification
    dataset.BurnedInAnnotation = "YES"
    dataset.DerivationDescription = f"Picture of the result of {context.title}"[:1024]
    dataset.SourceImageSequence = [_reference(image) for image in case.headers.images]
    dataset.PatientOrientation = None
    examined = body_part(case.headers.acquisition)
    if examined:
        dataset.BodyPartExamined = examined
    else:
        laterality = text_value(case.headers.acquisition, "Laterality")
        dataset.Laterality = laterality if laterality in {"R", "L"} else ""
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"
    lossy = [image for image in case.headers.images if image.get("LossyImageCompression") == "01"]
    for image in lossy[:1]:
        dataset.update(plain_copy(image, LOSSY))
    pixels = picture.tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
    return [dataset]


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item
