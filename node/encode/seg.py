"""A label map → DICOM Segmentation, one binary segment per label that was found (PS3.3 A.51)."""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from engines.types import Code, Label, LabelArray, SegmentationResult
from node.domain import MANUFACTURER, ObjectForm, ResultContext
from node.encode.case import Case
from node.encode.identity import element
from node.encode.marking import CHARACTER_SET, algorithm_parameters, uid
from node.encode.segments import Instance, instances
from node.encode.source import body_part
from node.encode.text import text_values
from node.terminology import ARTIFICIAL_INTELLIGENCE


def tracking_uid(context: ResultContext, label: Label) -> str:
    """Tracking UID of one label's region, the same in the segmentation and the report."""
    return uid(context, "tracking", str(label.value), label.name)


def write_segmentation(case: Case, result: SegmentationResult) -> list[Dataset]:
    """Encode the labels that were found, on the geometry of the source.

    Parameters
    ----------
    case
        Source, headers and context.
    result
        Frames are written only where a segment has voxels.

    Returns
    -------
    list of Dataset
        BINARY segmentations, one unless they are packed; none where no label is found.
        Explicit VR Little Endian. In the patient frame each frame has the position of its
        source slice; of a projection image there is one frame, related to its source by
        reference alone.
    """
    found = instances(case, ObjectForm.SEG_BINARY, result)
    return [_write(case, result, instance) for instance in found]


def _write(case: Case, result: SegmentationResult, instance: Instance) -> Dataset:
    context = case.context
    labels = list(instance.labels)
    dataset: Dataset = hd.seg.Segmentation(
        source_images=list(case.headers.images),
        pixel_array=_segment_numbers(result.labelmap, labels),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment_description(number, label, context) for number, label in enumerate(labels, 1)
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
    )
    _pin_dimensions(dataset, case.uid(instance.form, "dimensions"))
    if case.source.frame_numbers is not None:
        _point_at_frames(dataset, case.source.frame_numbers)
    _add_what_highdicom_leaves_out(dataset, case)
    return dataset


def _add_what_highdicom_leaves_out(dataset: Dataset, case: Case) -> None:
    examined = body_part(case.headers.acquisition)
    if examined:
        dataset.BodyPartExamined = examined
    if not case.source.volume.grid.patient_frame:
        # Type 2C where no frame of reference says which way is up (PS3.3 Section C.7.6.1).
        orientation = text_values(case.headers.acquisition, "PatientOrientation")
        dataset.add(element("PatientOrientation", orientation or None))


def concept(code: Code) -> hd.sr.CodedConcept:
    """Make highdicom's form of a code."""
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _segment_numbers(labelmap: LabelArray, labels: list[Label]) -> LabelArray:
    """Renumber a label map to segment numbers: uint8, axes (k, j, i)."""
    table = np.zeros(256, dtype=np.uint8)
    for number, label in enumerate(labels, 1):
        table[label.value] = number
    return table[labelmap]


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


def _pin_dimensions(dataset: Dataset, organization_uid: str) -> None:
    """Replace the random DimensionOrganizationUID by a derived one."""
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, None) or []:
            item.DimensionOrganizationUID = organization_uid


def _point_at_frames(dataset: Dataset, frame_numbers: tuple[int, ...]) -> None:
    """Turn references to the k-th slice into references to the source's own frame numbers."""
    images = {
        id(image): image  # highdicom lets the segments of a slice share one item
        for frame in dataset.PerFrameFunctionalGroupsSequence
        for derivation in frame.get("DerivationImageSequence", None) or []
        for image in derivation.SourceImageSequence
    }
    for image in images.values():
        image.ReferencedFrameNumber = frame_numbers[image.ReferencedFrameNumber - 1]
