"""The words of the node: instances, series, plans, artifacts and the states of a study.

Plain frozen data, no I/O. Times are timezone-aware UTC.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a receiver uses neither numpy nor pydicom's data sets of these types
    from pydicom.dataset import Dataset

    from engines.grid import Stack
    from engines.types import Provenance, Volume

UID_NAMESPACE = uuid.UUID("6f0b7d1e-5a0e-5c43-9d3f-0c7f0c1f7a51")
"""Namespace of all UIDs that Wetread derives (UUIDv5); changing it changes every UID."""

MANUFACTURER = "Wetread"
"""Manufacturer (0008,0070) of every object the node writes; the loop guard looks for it."""


class StudyState(StrEnum):
    """Where a study stands; a study always ends in one of `ENDED`."""

    RECEIVING = "receiving"
    """Instances are still arriving, or its quiet period is not over."""
    QUEUED = "queued"
    """Complete; its revision waits for, or is in, the workflow."""
    DELIVERING = "delivering"
    """All results are written; at least one destination does not have all of them yet."""
    DONE = "done"
    """Every result is at every destination."""
    NOT_ELIGIBLE = "not eligible"
    """No rule wants it; the reason is recorded."""
    FAILED = "failed"
    """A step failed for good; the reason is recorded."""
    LATE = "late"
    """Images came after it was complete, and the rules say to keep the earlier results."""


ENDED = frozenset({StudyState.DONE, StudyState.NOT_ELIGIBLE, StudyState.FAILED, StudyState.LATE})
"""The states that only a new instance, or an administrator, can end."""


class Standing(StrEnum):
    """Whether a kept instance is an input of its study."""

    USED = "used"
    SET_ASIDE = "set aside"
    """Another version of the same SOP Instance UID counts (`receive.duplicate_uid`)."""
    QUARANTINED = "quarantined"
    """It contradicts what is there; kept, not used, until an administrator releases it."""


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
class Instance:
    """One received SOP instance.

    Parameters
    ----------
    attributes
        The header elements that rules and series selection look at, by keyword;
        multi-valued elements are lists (see `node.store.header`).
    digest
        BLAKE3 of the transfer syntax and the encoded data set, hex; SHA-256 of what 0.1 received.
    path
        Relative to the data directory.
    standing_reason
        Why it is not used; empty where it is.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    path: str
    size_bytes: int
    received_at: datetime
    calling_ae_title: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    standing: Standing = Standing.USED
    standing_reason: str = ""


@dataclass(frozen=True)
class Series:
    """The images of one series that a model could read, summarised for the rules.

    Parameters
    ----------
    attributes
        Elements by keyword (taken from the first image) and the computed fields
        ``slices`` (images or frames), ``spacing_mm`` (between slices; absent where it
        cannot be told), ``series_instances``.
    instances
        The images, localizers left out, in order of arrival.
    """

    series_instance_uid: str
    attributes: Mapping[str, Any]
    instances: Sequence[Instance]


@dataclass(frozen=True)
class ModelSpec:
    """What planning needs to know of a model package.

    Parameters
    ----------
    per_image
        True: each image is a case of its own (radiographs); False: the series is one volume.
    select
        Field → condition, in the language of the rules.
    """

    name: str
    version: str
    digest: str
    per_image: bool
    select: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One model on one case, with its destinations; frozen when the study is planned.

    Parameters
    ----------
    rule
        Name of the rule that asked for it.
    sop_instance_uids
        The case: one image, or all images of the volume, sorted.
    instance_digests
        Digest of each of them, in the same order: a later version of an instance under
        the same UID is not part of this run.
    inputs_digest
        SHA-256 over `instance_digests` and `frames`.
    priority
        Of the run and its deliveries: higher ones come first.
    latency_budget_s
        Seconds from the complete study to the run's results; None: no budget.
    frames
        Of the one multi-frame image the numbers, from 1, of the frames that are the case; empty:
        all of them.
    volume
        What tells the case from the other volumes of its series, such as ``"EchoTime 30"``;
        empty where it is alone.
    """

    rule: str
    model: str
    model_version: str
    model_digest: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    instance_digests: tuple[str, ...]
    inputs_digest: str
    destinations: tuple[str, ...]
    priority: int = 0
    latency_budget_s: float | None = None
    frames: tuple[int, ...] = ()
    volume: str = ""

    @property
    def key(self) -> str:
        """The same for every run of this model on these inputs: it need not be done twice."""
        return digest_of(
            self.model,
            self.model_version,
            self.model_digest,
            self.series_instance_uid,
            self.inputs_digest,
        )


@dataclass(frozen=True)
class Plan:
    """What will be done with one revision of a study, and why nothing else.

    Parameters
    ----------
    config_digest
        SHA-256 of the configuration the plan was made with.
    not_run
        One sentence for each rule, series or model that was left out.
    late
        Whether a run was left out because its images came late (`late_images`).
    """

    study_instance_uid: str
    revision: int
    config_digest: str
    runs: tuple[PlannedRun, ...]
    not_run: tuple[str, ...]
    late: bool = False


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
class Source:
    """The images of one case, read: pixels as a volume, headers for what is written back.

    Parameters
    ----------
    volume
        float32 voxels on their grid, axes (k, j, i).
    datasets
        Headers without PixelData. Single-frame images: one per slice, in the order of
        the k axis. A multi-frame image: exactly one.
    frame_numbers
        For a multi-frame image the 1-based frame number of each k; None otherwise.
    stack
        The way to a regular grid and back, where the slices lean or are unevenly spaced: the
        affine of `volume` is then sheared, or right at both ends only, and each slice is where
        its header says. None where the volume is regular.
    """

    volume: Volume
    datasets: tuple[Dataset, ...]
    frame_numbers: tuple[int, ...] | None = None
    stack: Stack | None = None


@dataclass(frozen=True)
class Predecessor:
    """An object that a new one supersedes."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class ResultContext:
    """All that an object says about its making besides the result itself.

    Equal contexts, results and sources give byte-identical objects: no clock is read.

    Parameters
    ----------
    run_key
        SHA-256 over model package and inputs (`PlannedRun.key`); part of every derived UID.
    made_at
        The one time written into all objects of the revision: when the study was
        complete. Timezone-aware.
    kinds
        What the model package wants written.
    title, intended_use
        Of the model package, for the picture and the reports.
    content_qualification
        ``RESEARCH`` or ``PRODUCT`` (PS3.3 Section C.8.13.2.1.1).
    series_description
        Of the package, without the site's prefix.
    prefix
        The site's first word of every SeriesDescription.
    series_number
        Of the first series written for this run; the following ones count up.
    node_version, config_digest
        Software version of the node and digest of its configuration.
    institution_name
        Of the node's equipment; None: as in the source.
    device_uid
        UID of this installation, for the device observer (TID 1004).
    predecessors
        What this node has written of the same model on the same series in earlier revisions.
    """

    study_instance_uid: str
    revision: int
    run_key: str
    made_at: datetime
    provenance: Provenance
    kinds: tuple[ResultKind, ...]
    title: str
    intended_use: str
    content_qualification: str
    series_description: str
    prefix: str
    series_number: int
    node_version: str
    config_digest: str
    institution_name: str | None
    device_serial_number: str
    device_uid: str
    predecessors: tuple[Predecessor, ...] = ()


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


def derived_uid(*parts: str) -> str:
    """Derive a UID from its parts: the same parts give the same UID on every machine.

    Returns
    -------
    str
        ``2.25.`` and the decimal UUIDv5 (PS3.5 Section B.2), at most 44 characters.
    """
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, chr(31).join(parts)).int}"


def digest_of(*parts: str) -> str:
    """SHA-256 over text parts, hex; the separator keeps ("ab", "c") and ("a", "bc") apart."""
    return hashlib.sha256(chr(31).join(parts).encode()).hexdigest()
