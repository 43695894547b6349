"""The Storage Commitment Push Model: who asks for what, and what is answered (PS3.4 Annex J)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import UID

PUSH_MODEL: Final = UID("1.2.840.10008.1.20.1")
"""SOP class."""
PUSH_MODEL_INSTANCE: Final = UID("1.2.840.10008.1.20.1.1")
"""Its one, well-known SOP instance."""
REQUEST_STORAGE_COMMITMENT: Final = 1
"""Action Type ID (PS3.4 Section J.3.2.1)."""
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2
"""Event Type IDs (PS3.4 Section J.3.3.1)."""
MOST_INSTANCES: Final = 100_000
"""Of one transaction; a request or report that names more is refused."""

Reference: TypeAlias = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


class FailureReason(IntEnum):
    """Why an instance is not committed to (PS3.3 Section C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213
    REFERENCED_SOP_CLASS_NOT_SUPPORTED = 0x0122


@dataclass(frozen=True)
class Report:
    """What an archive says of one transaction.

    Parameters
    ----------
    committed
        SOP Instance UIDs it keeps safely.
    failed
        SOP Instance UID → failure reason of the others.
    """

    transaction_uid: str
    committed: tuple[str, ...]
    failed: Mapping[str, int]


def action_information(transaction_uid: str, instances: Iterable[Reference]) -> Dataset:
    """Make the data set of the N-ACTION request (PS3.4 Table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_reference(*one) for one in instances]
    return ds


def event_information(
    transaction_uid: str, committed: Iterable[Reference], failed: Mapping[Reference, int]
) -> Dataset:
    """Make the data set of the N-EVENT-REPORT (PS3.4 Table J.3-2)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_reference(*one) for one in committed]
    if failed:
        ds.FailedSOPSequence = []
        for one, reason in failed.items():
            item = _reference(*one)
            item.FailureReason = reason
            ds.FailedSOPSequence.append(item)
    return ds


def read_request(ds: Dataset) -> tuple[str, list[Reference]]:
    """Read an N-ACTION request: its transaction and what is asked for.

    Raises
    ------
    ValueError
        If it has no Transaction UID, or names nothing or too much.
    """
    instances = [
        (_text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID"))
        for item in _items(ds, "ReferencedSOPSequence")
    ]
    if not instances:
        raise ValueError("no Referenced SOP Sequence (0008,1199)")
    return _transaction_uid(ds), instances


def read_report(ds: Dataset) -> Report:
    """Read an N-EVENT-REPORT. An instance that is in both sequences counts as failed.

    Raises
    ------
    ValueError
        If it has no Transaction UID, or names too much.
    """
    failed = {}
    for item in _items(ds, "FailedSOPSequence"):
        reason = item.get("FailureReason")
        failed[_text(item, "ReferencedSOPInstanceUID")] = (
            int(reason) if isinstance(reason, int) else int(FailureReason.PROCESSING_FAILURE)
        )
    committed = (
        _text(item, "ReferencedSOPInstanceUID") for item in _items(ds, "ReferencedSOPSequence")
    )
    return Report(
        _transaction_uid(ds), tuple(uid for uid in committed if uid not in failed), failed
    )


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _transaction_uid(ds: Dataset) -> str:
    uid = _text(ds, "TransactionUID")
    if not uid:
        raise ValueError("no Transaction UID (0008,1195)")
    return uid


def _items(ds: Dataset, keyword: str) -> Iterator[Dataset]:
    sequence: Sequence[Dataset] = ds.get(keyword) or ()
    if len(sequence) > MOST_INSTANCES:
        raise ValueError(f"{len(sequence)} items in {keyword}; at most {MOST_INSTANCES}")
    yield from sequence


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return value.strip("\0 ") if isinstance(value, str) else ""
