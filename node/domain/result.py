"""One result on its way into objects: its source, and what they say about its making."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from node.domain.objects import ResultKind

if TYPE_CHECKING:  # a receiver uses neither numpy nor pydicom's data sets of these types
    from pydicom.dataset import Dataset

    from engines.grid import Stack
    from engines.types import Provenance, Volume


@dataclass(frozen=True)
class Source:
    """The images of one case, read: pixels as a volume, headers for what is written back.

    Parameters
    ----------
    volume
        Voxels on their grid, axes (k, j, i).
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
