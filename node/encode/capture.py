"""A result → Secondary Capture: one picture for viewers that show nothing else (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from engines.types import BuiltInResult
from node.domain import ObjectForm
from node.encode.case import Case
from node.encode.compression import declare, pixel_data, usable_syntax
from node.encode.encoded import Encoded
from node.encode.identity import plain_copy
from node.encode.picture import render_picture
from node.encode.reference import reference, start
from node.encode.source import LOSSY, body_part
from node.encode.text import text_value
from node.encode.view import RGB


def write_capture(case: Case, result: BuiltInResult) -> list[Encoded]:
    """Encode the picture of a result as an RGB image.

    Text is burned in; none of it is about the patient.
    """
    picture = render_picture(result, case.source, case.context)
    dataset = start(case, ObjectForm.SC, "OT")
    references = [reference(image) for image in case.headers.images]
    complete_capture(dataset, case, picture.shape[:2], references)
    syntax = usable_syntax(case.packing.transfer_syntax_uid)
    declare(dataset, syntax)
    return [Encoded(ObjectForm.SC, dataset, lambda: pixel_data([picture], picture.nbytes, syntax))]


def complete_capture(
    dataset: Dataset, case: Case, shape: tuple[int, ...], references: Sequence[Dataset]
) -> None:
    """Set all that captures have in common: RGB, burned in text, where the image comes from.

    *BodyPartExamined* is the source's; where it has none, an empty *Laterality* says that it is
    not known whether the part is one of a pair (PS3.3 Section C.7.3.1).

    Parameters
    ----------
    shape
        Rows and columns.
    references
        To the source images.
    """
    context = case.context
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.ContentQualification = context.content_qualification
    dataset.BurnedInAnnotation = "YES"
    dataset.DerivationDescription = f"Picture of the result of {context.title}"[:1024]
    dataset.SourceImageSequence = list(references)
    dataset.PatientOrientation = None
    set_body_part(dataset, case.headers.acquisition)
    describe_rgb(dataset, shape)
    lossy = [image for image in case.headers.images if image.get("LossyImageCompression") == "01"]
    for image in lossy[:1]:
        dataset.update(plain_copy(image, LOSSY))


def describe_rgb(dataset: Dataset, shape: tuple[int, ...]) -> None:
    """Set the Image Pixel module of colour pictures, 8 bits a sample, not compressed with loss."""
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"


def set_pixels(dataset: Dataset, picture: RGB) -> None:
    """Set PixelData, of even length (PS3.5 Section 8.1.1)."""
    pixels = picture.tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)


def set_body_part(dataset: Dataset, header: Dataset) -> None:
    """Set the source's *BodyPartExamined*, or without one its *Laterality*, which may be empty."""
    examined = body_part(header)
    if examined:
        dataset.BodyPartExamined = examined
        return
    laterality = text_value(header, "Laterality")
    dataset.Laterality = laterality if laterality in {"R", "L"} else ""
