"""The header of a Segmentation: everything but the functional groups of its frames and pixels.

highdicom makes it from one pixel of one slice, so that it costs the same for any number of
frames; what depends on their number is set afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from engines.types import Code, Label
from node.domain import MANUFACTURER, ObjectForm, ResultContext
from node.encode.case import Case
from node.encode.frames import Frame, used_images
from node.encode.identity import element, plain_copy
from node.encode.marking import CHARACTER_SET, algorithm_parameters, uid
from node.encode.segments import Instance
from node.encode.source import LOSSY, body_part, even_spacing
from node.encode.text import text_values
from node.terminology import ARTIFICIAL_INTELLIGENCE

_TYPES = {
    ObjectForm.SEG_BINARY: hd.seg.SegmentationTypeValues.BINARY,
    ObjectForm.SEG_LABELMAP: hd.seg.SegmentationTypeValues.LABELMAP,
    ObjectForm.SEG_FRACTIONAL: hd.seg.SegmentationTypeValues.FRACTIONAL,
}


_OF_FRAMES = (
    "DerivationImageSequence",
    "FrameContentSequence",
    "PlanePositionSequence",
    "SegmentIdentificationSequence",
)
"""Functional groups that `node.encode.frames` writes for every frame."""


def segmentation_header(
    case: Case, instance: Instance, frames: Sequence[Frame], transfer_syntax_uid: str
) -> Dataset:
    """Make the header of one Segmentation.

    Parameters
    ----------
    frames
        Whose functional groups and pixels will follow.
    """
    context = case.context
    dataset: Dataset = hd.seg.Segmentation(
        source_images=[one_pixel(case)],
        pixel_array=np.ones((1, 1, 1), dtype=np.uint8),
        segmentation_type=_TYPES[instance.form],
        segment_descriptions=[
            _segment_description(number, label, context)
            for number, label in enumerate(instance.labels, 1)
        ],
        series_instance_uid=instance.series_instance_uid,
        series_number=case.series_number(instance.form.kind),
        sop_instance_uid=instance.sop_instance_uid,
        instance_number=instance.number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=context.node_version,
        device_serial_number=context.device_serial_number,
        content_label="AI_SEGMENTATION",
        content_description=f"{context.title}, UNVERIFIED"[:64],
        content_qualification=context.content_qualification,
        specific_character_set=CHARACTER_SET,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    del dataset.PerFrameFunctionalGroupsSequence
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    dataset.NumberOfFrames = len(frames)
    dataset.SegmentsOverlap = "YES" if instance.form is ObjectForm.SEG_FRACTIONAL else "NO"
    complete_header(dataset, case, frames, case.uid(instance.form, "dimensions"))
    return dataset


def complete_header(
    dataset: Dataset, case: Case, frames: Sequence[Frame], organization_uid: str
) -> None:
    """Set what depends on the source's matrix and on all of its images, or is left out.

    Parameters
    ----------
    organization_uid
        Replaces the random DimensionOrganizationUID.
    """
    _, dataset.Rows, dataset.Columns = case.source.volume.grid.shape
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, None) or []:
            item.DimensionOrganizationUID = organization_uid
    _refer_to(dataset, used_images(case, frames))
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for keyword in _OF_FRAMES:  # highdicom shares what is the same in its only frame
        shared.pop(keyword, None)
    for measures in shared.get("PixelMeasuresSequence", []):
        measures.pop("SpacingBetweenSlices", None)
        if (spacing := even_spacing(case.headers.images)) is not None:
            measures.SpacingBetweenSlices = format_number_as_ds(spacing)
    examined = body_part(case.headers.acquisition)
    if examined:
        dataset.BodyPartExamined = examined
    if not case.source.volume.grid.patient_frame:
        # Type 2C where no frame of reference says which way is up (PS3.3 Section C.7.6.1).
        orientation = text_values(case.headers.acquisition, "PatientOrientation")
        dataset.add(element("PatientOrientation", orientation or None))


def one_pixel(case: Case) -> Dataset:
    """Cut the first source image down to a pixel of its first slice."""
    whole, image = case.headers.images[0], Dataset()
    changed = {"Rows": 1, "Columns": 1}
    if case.source.frame_numbers is not None:
        changed["NumberOfFrames"] = 1
    frames = whole.get("PerFrameFunctionalGroupsSequence", None)
    # pydicom's own copies share their elements: setting one would change the other.
    image.update({each.tag: each for each in whole if each.keyword not in changed})
    if frames is not None:
        del image.PerFrameFunctionalGroupsSequence
        image.PerFrameFunctionalGroupsSequence = frames[:1]
    for keyword, value in changed.items():
        setattr(image, keyword, value)
    return image


def _refer_to(dataset: Dataset, images: Sequence[Dataset]) -> None:
    """Refer to the images that frames lie on, and to no other (PS3.3 Sections C.7.6.16.2.6)."""
    references = []
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        references.append(reference)
    series = Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = references
    dataset.ReferencedSeriesSequence = [series]
    dataset.SourceImageSequence = references
    lossy = [image for image in images if image.get("LossyImageCompression") == "01"]
    for image in lossy[:1]:
        dataset.update(plain_copy(image, LOSSY))


def tracking_uid(context: ResultContext, label: Label) -> str:
    """Tracking UID of one label's region, the same in the segmentation and the report."""
    return uid(context, "tracking", str(label.value), label.name)


def concept(code: Code) -> hd.sr.CodedConcept:
    """Make highdicom's form of a code."""
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _segment_description(
    number: int, label: Label, context: ResultContext
) -> hd.seg.SegmentDescription:
    made_by = context.provenance
    algorithm = hd.AlgorithmIdentificationSequence(
        name=made_by.model,
        family=concept(ARTIFICIAL_INTELLIGENCE),
        version=made_by.version,
        source=MANUFACTURER,
        parameters=algorithm_parameters(context),
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=concept(label.category),
        segmented_property_type=concept(label.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid(context, label),
        tracking_id=label.name[:64],
        display_color=hd.color.CIELabColor.from_rgb(*label.color),
    )
