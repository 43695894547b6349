"""Multi-frame images as if each frame were an image of its own."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from node.dicom.header import number, permanent, sop_instance_uid
from node.errors import GeometryError, PermanentError

_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameContentSequence",
    "MRDiffusionSequence",
    "MREchoSequence",
    "CardiacSynchronizationSequence",
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "CTReconstructionSequence",
    "DiffusionGradientDirectionSequence",
)
_BULKY = {Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence")}


def is_multiframe(header: Dataset) -> bool:
    """Whether an image has frames with headers of their own, or more than one frame."""
    many = (number(header, "NumberOfFrames") or 1) > 1
    return many or bool(header.get("PerFrameFunctionalGroupsSequence"))


def frame_headers(header: Dataset) -> list[Dataset]:
    """One flat header per frame of a multi-frame image.

    The functional groups of a frame, its own before the shared ones (PS3.3 Section
    C.7.6.16.1.1), are laid over the common attributes, so that a frame reads like a
    single-frame image: ImagePositionPatient, PixelSpacing, RescaleSlope and so on.

    Parameters
    ----------
    header
        Of an Enhanced or Legacy Converted Enhanced CT, MR or PET image, or another one
        with functional groups.

    Returns
    -------
    list of Dataset
        In the order of the frames.

    Raises
    ------
    GeometryError
        If the frames have no functional groups, and so no positions.
    PermanentError
        If there are not NumberOfFrames of them.
    """
    uid = sop_instance_uid(header)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    frames = int(number(header, "NumberOfFrames") or 1)
    if not per_frame:
        raise GeometryError(
            f"instance {uid}: NumberOfFrames is {frames} and PerFrameFunctionalGroupsSequence "
            "is absent: its frames have no position"
        )
    if len(per_frame) != frames:
        raise PermanentError(
            f"instance {uid}: PerFrameFunctionalGroupsSequence has {len(per_frame)} items; "
            f"expected NumberOfFrames, {frames}"
        )
    common = Dataset()
    for tag in list(header.keys()):
        if tag.group % 2 == 0 and tag not in _BULKY:
            common[tag] = header[tag]
    with permanent(f"instance {uid}: the functional groups cannot be read"):
        shared = [Dataset(), *(header.get("SharedFunctionalGroupsSequence") or [])][-1]
        return [_flat(common, shared, own) for own in per_frame]


def _flat(common: Dataset, shared: Dataset, own: Dataset) -> Dataset:
    frame = Dataset()
    frame.update(common)
    for macro in _MACROS:
        # The last macro is within one before it.
        items = own.get(macro) or shared.get(macro) or frame.get(macro)
        if items:
            frame.update(items[0])
    return frame
