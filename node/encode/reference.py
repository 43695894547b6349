"""References to the source images that an object is about, and how an object begins."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian

from node.domain import ObjectForm
from node.encode.case import Case


def image_of(case: Case, k: int) -> tuple[Dataset, int | None]:
    """Find the source image of a slice, and its frame number where it has several."""
    numbers = case.source.frame_numbers
    if numbers is None:
        return case.headers.images[k], None
    return case.headers.images[0], numbers[k]


def reference(image: Dataset, frames: Iterable[int] = ()) -> Dataset:
    """Refer to an image, or to some of its frames (PS3.3 Table 10-3)."""
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    numbers = list(frames)
    if numbers:
        item.ReferencedFrameNumber = numbers
    return item


def references(case: Case, slices: Iterable[int]) -> list[Dataset]:
    """Refer to the images of some slices; a multi-frame image once, with its frames."""
    chosen = sorted(set(slices))
    numbers = case.source.frame_numbers
    if numbers is None:
        return [reference(case.headers.images[k]) for k in chosen]
    return [reference(case.headers.images[0], [numbers[k] for k in chosen])]


def start(case: Case, form: ObjectForm, modality: str, *part: str) -> Dataset:
    """Begin an object by hand: SOP class, UIDs, modality and file meta information.

    Parameters
    ----------
    part
        Words that tell one of several instances from the others.
    """
    sop_class_uid = form.sop_class_uid or case.headers.images[0].SOPClassUID
    return begin(sop_class_uid, case.uid(form, "instance", *part), modality)


def begin(sop_class_uid: str, sop_instance_uid: str, modality: str) -> Dataset:
    """Make a data set that knows what it is, with file meta information."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.Modality = modality
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return dataset
