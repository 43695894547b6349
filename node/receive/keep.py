"""One received instance: checked, made durable, indexed, and only then acknowledged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from io import BytesIO

import structlog

from node.domain import MANUFACTURER, Instance
from node.errors import PermanentError, RejectedInstance
from node.store.files import Files, instance_path
from node.store.header import Header, file_meta, read_header
from node.store.index import Index, Receipt
from node.store.ledger import Ledger

log = structlog.get_logger(__name__)

DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
"""C-STORE failure statuses (PS3.4 Section B.2.3)."""


@dataclass(frozen=True)
class Received:
    """A C-STORE request as it came off the wire; `data_set` is encoded, never decoded here."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    data_set: bytes


class Kept(StrEnum):
    """What became of an accepted instance."""

    NEW = Receipt.NEW.value
    NEW_VERSION = Receipt.NEW_VERSION.value
    DUPLICATE = Receipt.DUPLICATE.value
    OWN_RESULT = "own result"


class Keeper:
    """Keeps instances.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self, files: Files, index: Index, ledger: Ledger, clock: Callable[[], datetime]
    ) -> None:
        self._files = files
        self._index = index
        self._ledger = ledger
        self._clock = clock

    def keep(self, received: Received) -> Kept:
        """Make one instance durable; after return its sender may forget it.

        The order is: file written and synced, renamed, directory synced, row committed. A
        crash before the end leaves the sender without an answer, and it sends again.

        Raises
        ------
        RejectedInstance
            If the data set is unreadable or is not what the request says.
        OSError
            If the disk is full or fails.
        """
        meta = file_meta(
            received.sop_class_uid,
            received.sop_instance_uid,
            received.transfer_syntax_uid,
            received.calling_ae_title,
        )
        header = self._checked_header(received, meta)
        if self._is_own_result(header):
            self._index.record_returned(
                header.sop_instance_uid,
                header.study_instance_uid,
                received.calling_ae_title,
                self._clock(),
            )
            log.info("own_result.returned", sop_instance_uid=header.sop_instance_uid)
            return Kept.OWN_RESULT
        return self._store(received, meta, header)

    def _checked_header(self, received: Received, meta: bytes) -> Header:
        try:
            header = read_header(BytesIO(meta + received.data_set))
        except PermanentError as error:
            raise RejectedInstance(CANNOT_UNDERSTAND, str(error)) from error
        for keyword, requested, found in (
            ("SOPClassUID", received.sop_class_uid, header.sop_class_uid),
            ("SOPInstanceUID", received.sop_instance_uid, header.sop_instance_uid),
        ):
            if requested != found:
                raise RejectedInstance(
                    DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
                    f"{keyword} is {found} in the data set and {requested} in the request",
                )
        return header

    def _is_own_result(self, header: Header) -> bool:
        """Recognise what this node, or another Wetread node, has written."""
        marked = (
            header.attributes.get("Manufacturer") == MANUFACTURER
            and header.attributes.get("ManufacturerModelName") == MANUFACTURER
        )
        return marked or self._ledger.is_own_result(header.sop_instance_uid)

    def _store(self, received: Received, meta: bytes, header: Header) -> Kept:
        digest = hashlib.sha256(received.transfer_syntax_uid.encode() + b"\x1f")
        digest.update(received.data_set)
        path = instance_path(digest.hexdigest())
        uids = (header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
        if self._files.path(path).is_file() and self._index.has_instance(*uids, digest.hexdigest()):
            return Kept.DUPLICATE
        self._files.write(path, (meta, received.data_set))
        receipt = self._index.record_instance(
            Instance(
                study_instance_uid=header.study_instance_uid,
                series_instance_uid=header.series_instance_uid,
                sop_instance_uid=header.sop_instance_uid,
                sop_class_uid=header.sop_class_uid,
                transfer_syntax_uid=received.transfer_syntax_uid,
                digest=digest.hexdigest(),
                path=path,
                size_bytes=len(meta) + len(received.data_set),
                received_at=self._clock(),
                calling_ae_title=received.calling_ae_title,
                attributes=header.attributes,
            )
        )
        if receipt is Receipt.NEW_VERSION:
            log.warning("instance.new_version", sop_instance_uid=header.sop_instance_uid)
        return Kept(receipt.value)
