"""One received instance: checked, made durable, and only then acknowledged and indexed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from node.errors import PermanentError, RejectedInstance
from node.receive.message import TAKEN_AT_ONCE
from node.receive.outcome import settle, shelve
from node.receive.status import Status
from node.receive.store_request import StoreRequest
from node.store.chunk import NOTHING, Chunk
from node.store.commit import Committer, Shelved, Shelving
from node.store.digest import new_digest
from node.store.elements import Header
from node.store.file_meta import file_meta
from node.store.group_sync import GroupSync
from node.store.header import header_begun, header_of, header_of_content
from node.store.journal import Entry, Journal
from node.store.leftover import Content
from node.store.part import Part
from node.store.standing import Receipt

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Shelf:
    """Where the data sets of the door go.

    Parameters
    ----------
    journal
        None: each goes to a file at once.
    new_part
        Makes a file; safe to call from many threads.
    names
        Syncs the names of new files; None where nothing is synced.
    clock
        Gives the current time, timezone-aware.
    """

    journal: Journal | None
    new_part: Callable[[], Part]
    committer: Committer
    names: GroupSync | None
    clock: Callable[[], datetime]
    max_object_bytes: int


class Receiving:
    """One data set on its way to the disk; see `node.receive.store_request.Incoming`.

    What has come in one piece when it is whole goes to the journal, and its file is made when
    there is time. Anything else goes to a file at once: it is larger, and syncing that is not
    what takes the time.

    Parameters
    ----------
    shelf
        What all data sets of the door share.
    new_part
        Gives the file, where one is needed at once.
    """

    def __init__(self, request: StoreRequest, shelf: Shelf, new_part: Callable[[], Part]) -> None:
        self._request = request
        self._shelf = shelf
        self._new_part = new_part
        self._meta = file_meta(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            request.calling_ae_title,
        )
        self._part: Part | None = None
        self._entry: Entry | None = None
        self._bytes = 0
        self._header: Header | None = None
        self._digest = ""
        self._received_at: datetime

    @property
    def takes_bytes(self) -> int:
        """So many bytes it would like to be given at once, at least: for the journal, all."""
        if self._part is None and self._shelf.journal is not None:
            return sys.maxsize
        return TAKEN_AT_ONCE

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append fragments of the encoded data set; they may be overwritten after the call.

        Raises
        ------
        RejectedInstance
            If the data set is larger than the node takes (0xC001).
        OSError
            If the disk is full or fails.
        """
        self._count(sum(map(len, fragments)))
        self._append(fragments)

    def finish(self, rest: Chunk = NOTHING) -> None:
        """Make the whole data set durable; after return its sender may forget it.

        Full durability, in the journal: checked, and written and synced in one. In a file: named
        as whole, file synced, folder synced, in this order. A crash before the end leaves the
        sender without an answer, and it sends again; a crash after it leaves what the next start
        records. Relaxed: the same without the syncs.

        Raises
        ------
        RejectedInstance
            If the data set cannot be read (0xC000), is not what the request says (0xA900), or
            is larger than the node takes (0xC001).
        OSError
            If the disk fails. Nothing is kept then.
        """
        try:
            self._count(rest.size_bytes)
            if self._part is None and self._shelf.journal is not None:
                self._received_at = self._shelf.clock()
                self._entry = self._into_journal(self._shelf.journal, rest)
            if self._entry is None:
                self._into_file(rest)
        except BaseException:  # whatever it was: what has no answer yet must not stay
            self.discard()
            raise

    def hand_over(self) -> Future[Receipt]:
        """Have the index told of what is finished.

        Returns
        -------
        Future of Receipt
            What it is to the index, as soon as that is known.
        """
        kept = self._shelf.committer.submit(self._place, self._settle)
        kept.add_done_callback(self._note_failure)
        return kept

    def discard(self) -> None:
        """Forget it; never raises."""
        if self._part is not None:
            self._part.remove()

    def _count(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        limit = self._shelf.max_object_bytes
        if self._bytes > limit:
            raise RejectedInstance(
                Status.TOO_LARGE,
                f"the data set has more than {limit} bytes (receive.max_object_bytes)",
            )

    def _into_journal(self, journal: Journal, rest: Chunk) -> Entry | None:
        """Write a data set that is whole in memory; None where the journal does not take it."""
        pieces: list[bytes | memoryview] = [self._meta, *rest.pieces()]
        self._header = self._begun(pieces)
        if self._header is None:
            with self._refused():
                self._header = header_of_content(b"".join(pieces))
        self._check(self._header)
        return journal.write(self._meta, rest, self._received_at)

    def _into_file(self, rest: Chunk) -> None:
        self._append(rest.pieces())
        assert self._part is not None  # noqa: S101 - for the type checker
        if self._header is None:
            with self._refused():
                self._header = header_of(self._part.descriptor)
        self._check(self._header)
        self._part.complete()
        if self._shelf.names is not None:
            self._shelf.names.sync()
        self._received_at = self._shelf.clock()

    def _append(self, fragments: Sequence[memoryview]) -> None:
        if self._part is not None:
            self._part.append(fragments)
            return
        self._part = self._new_part()
        pieces: list[bytes | memoryview] = [self._meta, *fragments]
        self._part.append(pieces)
        # While the peer sends the rest there is time: nobody waits for the answer yet.
        self._header = self._header or self._begun(pieces)

    def _begun(self, pieces: Sequence[bytes | memoryview]) -> Header | None:
        """Read the header from what has come, if that is enough."""
        return header_begun(
            lambda size: _first(size, pieces), len(self._meta), self._request.transfer_syntax_uid
        )

    def _check(self, header: Header) -> None:
        """Raise RejectedInstance where the data set is not what the request says."""
        request = self._request
        if request.sop_class_uid != header.sop_class_uid:
            raise _mismatch("SOPClassUID", request.sop_class_uid, header.sop_class_uid)
        if request.sop_instance_uid != header.sop_instance_uid:
            raise _mismatch("SOPInstanceUID", request.sop_instance_uid, header.sop_instance_uid)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Refuse what cannot be read."""
        try:
            yield
        except PermanentError as error:
            raise RejectedInstance(Status.CANNOT_UNDERSTAND, str(error)) from error

    def _place(self) -> Shelving:
        """Give it its place; called by the committer, and again if that has failed."""
        if self._part is None:
            self._part = self._out_of_journal()
        assert self._header is not None  # noqa: S101 - for the type checker
        content = Content(
            transfer_syntax_uid=self._request.transfer_syntax_uid,
            calling_ae_title=self._request.calling_ae_title,
            size_bytes=len(self._meta) + self._bytes,
            received_at=self._received_at,
            meta_bytes=len(self._meta),
        )
        durable = None if self._entry is None else self._entry.release
        return shelve(self._part, self._header, content, self._digest, durable)

    def _out_of_journal(self) -> Part:
        """Make the file of what is in the journal, and note its digest."""
        assert self._entry is not None  # noqa: S101 - for the type checker
        part = self._shelf.new_part()
        try:
            digest = new_digest(self._request.transfer_syntax_uid)
            if self._shelf.names is None:
                pieces = list(self._entry.read())
                part.append(pieces)
                for piece in pieces[1:]:
                    digest.update(piece)
            else:
                whole = self._entry.in_one()
                part.fill(whole.memory, whole.size_bytes)
                digest.update(whole.data_set)
            # If the index never hears of it, the next start reads the time there.
            os.utime(part.descriptor, (self._received_at.timestamp(),) * 2)
            part.complete(sync=False)
        except BaseException:  # it is made again: half a file must not stay beside that
            part.remove()
            raise
        self._digest = digest.hexdigest()
        return part

    def _settle(self, shelved: Shelved) -> Receipt:
        assert self._part is not None  # noqa: S101 - it has been given its place
        return settle(self._part, shelved)

    def _note_failure(self, kept: Future[Receipt]) -> None:
        """Log what the index does not take; its sender was told that it is kept: it stays."""
        error = kept.exception()
        uid = self._request.sop_instance_uid
        if isinstance(error, PermanentError):
            assert self._entry is not None  # noqa: S101 - only the journal raises it
            log.error("instance.damaged", sop_instance_uid=uid, reason=str(error))
            self._entry.release()
        elif error is not None:
            log.error("instance.not_indexed", sop_instance_uid=uid, exc_info=error)


def _mismatch(keyword: str, requested: str, found: str) -> RejectedInstance:
    return RejectedInstance(
        Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        f"{keyword} is {found} in the data set and {requested} in the request",
    )


def _first(size: int, pieces: Iterable[bytes | memoryview]) -> bytes:
    """Copy the first bytes of what has so many, or all there is."""
    found = []
    for piece in pieces:
        found.append(piece[:size])
        size -= len(piece)
        if size <= 0:
            break
    return b"".join(found)
