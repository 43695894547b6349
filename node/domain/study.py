"""What was received: studies, series, instances, and the states of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


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
