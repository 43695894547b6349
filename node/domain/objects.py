"""The objects that results are written as, and where they stand at their destinations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DeliveryState(StrEnum):
    """Where one object stands at one destination."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    REPLACED = "replaced"
    """The destination does not take it; another form was written instead."""


class Proof(StrEnum):
    """Whether a destination has proven that it holds what it was sent."""

    AWAITED = "awaited"
    PROVEN = "proven"
    ALARMED = "alarmed"
    """It has not, in spite of everything: somebody has to look."""


class ProofMethod(StrEnum):
    """How a destination proves that it holds an object."""

    STORAGE_COMMITMENT = "storage commitment"
    QUERY = "query"


class ResultKind(StrEnum):
    """The kinds of object a model's result is written as; in this order they are sent.

    What others refer to comes first, so that references resolve.
    """

    SEG = "SEG"
    """Segmentation."""
    SR = "SR"
    """Structured report."""
    SC = "SC"
    """Secondary capture: the picture."""
    PM = "PM"
    """Parametric map."""
    RTSTRUCT = "RTSTRUCT"
    """Contours as a radiotherapy structure set."""
    DERIVED = "DERIVED"
    """Derived image series."""
    PR = "PR"
    """Softcopy presentation state."""
    KO = "KO"
    """Key object selection."""
    DOC = "DOC"
    """Report as an encapsulated PDF."""
    STATUS = "STATUS"
    """What was done with the study, and what was not; of no single model."""


class ObjectForm(StrEnum):
    """One way to write a kind of object; a destination takes some of them and not others."""

    SEG_BINARY = "SEG_BINARY"
    SEG_LABELMAP = "SEG_LABELMAP"
    SEG_FRACTIONAL = "SEG_FRACTIONAL"
    SR_3D = "SR_3D"
    """Comprehensive 3D SR: volumetric groups that refer to segments."""
    SR_2D = "SR_2D"
    """Comprehensive SR: planar groups with outlines in image coordinates."""
    SC = "SC"
    """One page in one frame."""
    SC_MULTIFRAME = "SC_MULTIFRAME"
    """Every slice with its overlay, as the frames of one image."""
    PM = "PM"
    RTSTRUCT = "RTSTRUCT"
    DERIVED = "DERIVED"
    PR = "PR"
    KO = "KO"
    PDF = "PDF"
    STATUS = "STATUS"
    """Enhanced SR; `node.encode.status`."""
    STATUS_SC = "STATUS_SC"
    """The same as a page to look at."""

    @property
    def kind(self) -> ResultKind:
        """What it is a form of."""
        return _KIND_OF[self]

    @property
    def sop_class_uid(self) -> str | None:
        """Storage SOP Class (PS3.4 Annex B.5); None: that of the source images (`DERIVED`)."""
        return _STORAGE_OF[self]


_KIND_OF = {
    form: ResultKind.DOC if form is ObjectForm.PDF else ResultKind(form.value.partition("_")[0])
    for form in ObjectForm
}

_STORAGE_OF: Mapping[ObjectForm, str | None] = {
    ObjectForm.SEG_BINARY: "1.2.840.10008.5.1.4.1.1.66.4",
    ObjectForm.SEG_LABELMAP: "1.2.840.10008.5.1.4.1.1.66.7",
    ObjectForm.SEG_FRACTIONAL: "1.2.840.10008.5.1.4.1.1.66.4",
    ObjectForm.SR_3D: "1.2.840.10008.5.1.4.1.1.88.34",
    ObjectForm.SR_2D: "1.2.840.10008.5.1.4.1.1.88.33",
    ObjectForm.SC: "1.2.840.10008.5.1.4.1.1.7",
    ObjectForm.SC_MULTIFRAME: "1.2.840.10008.5.1.4.1.1.7.4",
    ObjectForm.PM: "1.2.840.10008.5.1.4.1.1.30",
    ObjectForm.RTSTRUCT: "1.2.840.10008.5.1.4.1.1.481.3",
    ObjectForm.DERIVED: None,
    ObjectForm.PR: "1.2.840.10008.5.1.4.1.1.11.1",
    ObjectForm.KO: "1.2.840.10008.5.1.4.1.1.88.59",
    ObjectForm.PDF: "1.2.840.10008.5.1.4.1.1.104.1",
    ObjectForm.STATUS: "1.2.840.10008.5.1.4.1.1.88.22",
    ObjectForm.STATUS_SC: "1.2.840.10008.5.1.4.1.1.7",
}


@dataclass(frozen=True)
class Packing:
    """How the objects of one destination are packed.

    Parameters
    ----------
    max_frames, max_segments
        Of one Segmentation; where a result has more, its segments are spread over several
        instances of one series. A single segment is never split. None: no limit.
    transfer_syntax_uid
        For the frames of label maps, fractional segments, captures and derived images:
        Explicit VR Little Endian, RLE Lossless, JPEG 2000 Lossless or Deflated; what cannot be
        written in it is written in Explicit VR Little Endian. It does not change any UID.
    """

    max_frames: int | None = None
    max_segments: int | None = None
    transfer_syntax_uid: str = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Outcome:
    """What one C-STORE or STOW-RS of one object came to.

    Parameters
    ----------
    status
        DIMSE status of the response, None where there was none.
    reason
        Empty where the object was delivered without remark.
    not_taken
        Whether the destination takes no object of this SOP class or transfer syntax at all.
    """

    state: DeliveryState
    status: int | None
    reason: str
    not_taken: bool = False


@dataclass(frozen=True)
class Artifact:
    """One DICOM object the node has written.

    Parameters
    ----------
    path
        Relative to the data directory.
    destinations
        Names of the configured destinations that get it.
    form
        Of which form of its kind it is; None where nobody needs to know.
    remarks
        Destination → what it gets this instead of, and why.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    revision: int
    kind: ResultKind
    model: str
    path: str
    sha256: str
    destinations: tuple[str, ...]
    priority: int = 0
    form: ObjectForm | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
