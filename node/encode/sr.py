"""A result → structured report, TID 1500 *Measurement Report* (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from engines.types import ClassificationResult, SegmentationResult
from node.domain import MANUFACTURER, ObjectForm
from node.encode.case import Case
from node.encode.forms import is_projection
from node.encode.groups import Group, classification_group, outline_groups, segment_groups
from node.encode.marking import CHARACTER_SET, statement
from node.encode.seg import concept
from node.encode.segments import Instance, companion_instances
from node.terminology import COMMENT, MODALITIES, UNITS, procedure_reported

_PIXELS = UNITS["{pixels}"]


def write_segmentation_report(case: Case, result: SegmentationResult) -> list[Dataset]:
    """Report what was found, how large it is, and what was not found.

    Returns
    -------
    list of Dataset
        Of a volume a Comprehensive 3D SR that refers to the segments of the form that the
        same destination gets; of a projection image a Comprehensive SR with the outlines.
    """
    if is_projection(case.source):
        return [_write(case, ObjectForm.SR_2D, outline_groups(case, result), ())]
    segmentations = companion_instances(case, result)
    groups = segment_groups(case, result, segmentations)
    return [_write(case, ObjectForm.SR_3D, groups, segmentations)]


def write_classification_report(case: Case, result: ClassificationResult) -> list[Dataset]:
    """Report the class and the probabilities, as a Comprehensive SR."""
    return [_write(case, ObjectForm.SR_2D, [classification_group(case, result)], ())]


_DOCUMENT = {
    ObjectForm.SR_2D: hd.sr.ComprehensiveSR,
    ObjectForm.SR_3D: hd.sr.Comprehensive3DSR,
}


def _write(
    case: Case, form: ObjectForm, groups: Sequence[Group], segmentations: Sequence[Instance]
) -> Dataset:
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer(case)),
        procedure_reported=concept(procedure_reported(case.source.volume.modality)),
        imaging_measurements=list(groups),
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    _add_library_and_comment(report[0], case)
    packed = [one.sop_instance_uid for one in segmentations] if len(segmentations) > 1 else []
    context = case.context
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
    )
    return dataset


def _observer(case: Case) -> hd.sr.ObserverContext:
    """Device observer (TID 1004): this installation of the node."""
    return hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=case.context.device_uid,
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=MANUFACTURER,
            serial_number=case.context.device_serial_number,
        ),
    )


def _add_library_and_comment(root: Dataset, case: Case) -> None:
    """Put the image library before the measurements and the statement after them."""
    *context, measurements = list(root.ContentSequence)
    comment = hd.sr.TextContentItem(
        name=concept(COMMENT),
        value=statement(case.context),
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
