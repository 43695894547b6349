"""One received instance: checked, made durable, and only then acknowledged and indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime

import structlog

from node.errors import PermanentError, RejectedInstance
from node.receive.outcome import settle, shelve
from node.receive.status import Status
from node.receive.store_request import StoreRequest
from node.store.commit import Committer, Shelved
from node.store.file_meta import file_meta
from node.store.group_sync import GroupSync
from node.store.header import Header, header_begun, header_of
from node.store.leftover import Content
from node.store.part import Part
from node.store.scanner import WINDOW_BYTES
from node.store.standing import Receipt

log = structlog.get_logger(__name__)


class Receiving:
    """One data set on its way to the disk; see `node.receive.store_request.Incoming`."""

    def __init__(
        self,
        request: StoreRequest,
        part: Part,
        committer: Committer,
        clock: Callable[[], datetime],
        names: GroupSync | None,
        max_object_bytes: int,
    ) -> None:
        self._request = request
        self._part = part
        self._committer = committer
        self._clock = clock
        self._names = names
        self._max_object_bytes = max_object_bytes
        meta = file_meta(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            request.calling_ae_title,
        )
        self._meta_bytes = len(meta)
        self._unwritten: tuple[bytes, ...] = (meta,)
        self._bytes = 0
        self._header: Header | None = None

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append fragments of the encoded data set; they may be overwritten after the call.

        Raises
        ------
        RejectedInstance
            If the data set is larger than the node takes (0xC001).
        OSError
            If the disk is full or fails.
        """
        self._bytes += sum(map(len, fragments))
        if self._bytes > self._max_object_bytes:
            raise RejectedInstance(
                Status.TOO_LARGE,
                f"the data set has more than {self._max_object_bytes} bytes "
                "(receive.max_object_bytes)",
            )
        if not self._unwritten:
            self._part.append(fragments)
            return
        pieces: list[bytes | memoryview] = [*self._unwritten, *fragments]
        self._unwritten = ()
        self._part.append(pieces)
        if self._meta_bytes + self._bytes >= WINDOW_BYTES:
            # While the peer sends the rest there is time: nobody waits for the answer yet.
            self._header = header_begun(
                _first(WINDOW_BYTES, pieces),
                self._meta_bytes,
                self._request.transfer_syntax_uid,
            )

    def finish(self) -> None:
        """Make the whole data set durable; after return its sender may forget it.

        Full durability: named as whole, file synced, folder synced, in this order. A crash
        before the end leaves the sender without an answer, and it sends again; a crash after it
        leaves a file that the next start records. Relaxed: the same without the syncs.

        Raises
        ------
        RejectedInstance
            If the data set cannot be read (0xC000) or is not what the request says (0xA900).
        OSError
            If the disk fails. Nothing is kept then.
        """
        try:
            self._part.append(self._unwritten)
            self._header = self._checked_header()
            self._part.complete()
            if self._names is not None:
                self._names.sync()
        except BaseException:  # whatever it was: what has no answer yet must not stay
            self._part.remove()
            raise

    def hand_over(self) -> Future[Receipt]:
        """Have the index told of what is finished.

        Returns
        -------
        Future of Receipt
            What it is to the index, as soon as that is known.
        """
        assert self._header is not None  # noqa: S101 - for the type checker
        content = Content(
            transfer_syntax_uid=self._request.transfer_syntax_uid,
            calling_ae_title=self._request.calling_ae_title,
            size_bytes=self._meta_bytes + self._bytes,
            received_at=self._clock(),
            meta_bytes=self._meta_bytes,
        )
        kept: Future[Receipt] = Future()
        shelved = self._committer.submit(shelve(self._part, self._header, content))
        shelved.add_done_callback(lambda done: self._settle(done, kept))
        return kept

    def discard(self) -> None:
        """Forget it; never raises."""
        self._part.remove()

    def _checked_header(self) -> Header:
        try:
            header = self._header or header_of(self._part.descriptor)
        except PermanentError as error:
            raise RejectedInstance(Status.CANNOT_UNDERSTAND, str(error)) from error
        for keyword, requested, found in (
            ("SOPClassUID", self._request.sop_class_uid, header.sop_class_uid),
            ("SOPInstanceUID", self._request.sop_instance_uid, header.sop_instance_uid),
        ):
            if requested != found:
                raise RejectedInstance(
                    Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
                    f"{keyword} is {found} in the data set and {requested} in the request",
                )
        return header

    def _settle(self, shelved: Future[Shelved], kept: Future[Receipt]) -> None:
        try:
            kept.set_result(settle(self._part, shelved.result()))
        except Exception as error:  # its sender was told that it is kept: it stays as it is
            log.exception("instance.not_indexed", sop_instance_uid=self._request.sop_instance_uid)
            kept.set_exception(error)


def _first(size: int, fragments: Iterable[bytes | memoryview]) -> bytes:
    """Copy the first bytes of fragments that have so many."""
    found = bytearray()
    for fragment in fragments:
        found += fragment[: size - len(found)]
        if len(found) == size:
            break
    return bytes(found)
