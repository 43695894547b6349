"""A result → structured report, TID 1500 *Measurement Report* (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from engines.types import ClassificationResult, SegmentationResult
from node.domain import MANUFACTURER, ObjectForm
from node.encode.case import Case, found_labels, missing_labels
from node.encode.document import Reference, as_evidence, device_observer
from node.encode.encoded import Encoded
from node.encode.forms import is_projection
from node.encode.groups import Group, absent_groups, classification_group, segment_groups
from node.encode.marking import CHARACTER_SET, statement
from node.encode.pen import with_unit
from node.encode.planar import part_groups, planar_groups
from node.encode.seg_header import concept
from node.encode.segments import Instance, companion_instances
from node.terminology import COMMENT, MODALITIES, UNITS, procedure_reported

_PIXELS = UNITS["{pixels}"]


def write_volume_report(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Report what was found, how large it is, and what was not found.

    Returns
    -------
    list of Encoded
        Of a volume a Comprehensive 3D SR that refers to the segments of the form that the
        same destination gets.
    """
    segmentations = companion_instances(case, result)
    groups = segment_groups(case, result, segmentations)
    return [_write(case, ObjectForm.SR_3D, groups, segmentations)]


def write_planar_report(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Report outlines in image coordinates, as a Comprehensive SR that viewers draw.

    Returns
    -------
    list of Encoded
        Of a projection image everything; of a volume each label where it is largest, and in
        the comment, as text, what was measured in the volume and what was not found. Where
        nothing was found in a volume, its middle slice stands for it.
    """
    if is_projection(case.source):
        groups = [
            group for label in found_labels(result) for group in part_groups(case, result, label)
        ]
        return [_write(case, ObjectForm.SR_2D, [*groups, *absent_groups(case, result)], ())]
    middle = case.source.volume.grid.shape[0] // 2
    groups = planar_groups(case, result) or absent_groups(case, result, middle)
    words = _in_words(case, result)
    return [_write(case, ObjectForm.SR_2D, groups, (), words)]


def _in_words(case: Case, result: SegmentationResult) -> str:
    """Say in text what no outline says: numbers of whole volumes, and what is missing."""
    sentences = []
    for label in found_labels(result):
        numbers = [
            f"{found.name.replace('_', ' ')} {with_unit(found.value, found.unit)}"
            for found in result.measurements
            if found.label == label.value
        ]
        sentences.append(f"{label.name}: {', '.join(numbers) or 'found'}.")
    if missing := missing_labels(result):
        sentences.append(f"Not detected: {', '.join(label.name for label in missing)}.")
    return " ".join(sentences) + " "


def write_classification_report(case: Case, result: ClassificationResult) -> list[Encoded]:
    """Report the class and the probabilities, as a Comprehensive SR."""
    return [_write(case, ObjectForm.SR_2D, [classification_group(case, result)], ())]


_DOCUMENT = {
    ObjectForm.SR_2D: hd.sr.ComprehensiveSR,
    ObjectForm.SR_3D: hd.sr.Comprehensive3DSR,
}


def _write(
    case: Case,
    form: ObjectForm,
    groups: Sequence[Group],
    segmentations: Sequence[Instance],
    words: str = "",
) -> Encoded:
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=device_observer(
                case.context.device_uid, case.context.device_serial_number
            )
        ),
        procedure_reported=concept(procedure_reported(case.source.volume.modality)),
        imaging_measurements=list(groups),
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    _add_library_and_comment(report[0], case, words)
    packed = [one.sop_instance_uid for one in segmentations] if len(segmentations) > 1 else []
    context = case.context
    earlier = [
        Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
        for one in context.predecessors
        if one.sop_class_uid == form.sop_class_uid
    ]
    dataset: Dataset = _DOCUMENT[form](
        evidence=[*case.headers.images, *(one.reference() for one in segmentations)],
        content=report,
        series_instance_uid=case.uid(form, "series"),
        series_number=case.series_number(form.kind),
        sop_instance_uid=case.uid(form, "instance", *packed),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=context.node_version,
        device_serial_number=context.device_serial_number,
        is_complete=True,
        is_final=False,
        is_verified=False,
        specific_character_set=CHARACTER_SET,
        previous_versions=as_evidence(case.context.study_instance_uid, earlier) or None,
    )
    return Encoded(form, dataset)


def _add_library_and_comment(root: Dataset, case: Case, words: str) -> None:
    """Put the image library before the measurements and the statement after them."""
    *context, measurements = list(root.ContentSequence)
    comment = hd.sr.TextContentItem(
        name=concept(COMMENT),
        value=words + statement(case.context),
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
    root.ContentSequence = hd.sr.ContentSequence(
        [*context, _image_library(case), measurements, comment]
    )


def _image_library(case: Case) -> hd.sr.ContainerContentItem:
    """Image library (TID 1600): every source image, and what they have in common.

    Made by hand: highdicom's fails on radiographs without *ImagerPixelSpacing* and repeats
    the geometry of every image, which the images themselves have.
    """
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    images = [
        hd.sr.ImageContentItem(
            name=hd.sr.CodedConcept("260753009", "SCT", "Source"),
            referenced_sop_class_uid=image.SOPClassUID,
            referenced_sop_instance_uid=image.SOPInstanceUID,
            relationship_type=contains,
        )
        for image in case.headers.images
    ]
    group = hd.sr.ContainerContentItem(
        name=hd.sr.CodedConcept("126200", "DCM", "Image Library Group"),
        relationship_type=contains,
    )
    group.ContentSequence = hd.sr.ContentSequence([*_descriptors(case), *images])
    library = hd.sr.ContainerContentItem(
        name=hd.sr.CodedConcept("111028", "DCM", "Image Library"), relationship_type=contains
    )
    library.ContentSequence = hd.sr.ContentSequence([group])
    return library


def _descriptors(case: Case) -> list[hd.sr.ContentItem]:
    """Image library entry descriptors (TID 1602) that all images share."""
    context = hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    image = case.headers.images[0]
    items: list[hd.sr.ContentItem] = []
    modality = MODALITIES.get(case.source.volume.modality)
    if modality is not None:
        items.append(
            hd.sr.CodeContentItem(
                name=hd.sr.CodedConcept("121139", "DCM", "Modality"),
                value=concept(modality),
                relationship_type=context,
            )
        )
    for name, count in (
        (hd.sr.CodedConcept("110910", "DCM", "Pixel Data Rows"), image.Rows),
        (hd.sr.CodedConcept("110911", "DCM", "Pixel Data Columns"), image.Columns),
    ):
        items.append(
            hd.sr.NumContentItem(
                name=name, value=count, unit=concept(_PIXELS), relationship_type=context
            )
        )
    return items
