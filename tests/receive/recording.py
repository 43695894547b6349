"""A `Keeping` that keeps in memory what it was given, for tests of the protocol alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event, Lock

from node.receive.store_request import Incoming, Intake, StoreRequest
from node.store.chunk import NOTHING, Chunk
from node.store.standing import Receipt


class Recording:
    """What came: requests with their whole data sets, and how many were given up."""

    def __init__(self) -> None:
        self.kept: list[tuple[StoreRequest, bytes]] = []
        self.discarded = 0
        self.handed_over = 0
        self.whole = Event()
        self.may_finish = Event()
        self.may_finish.set()
        self.lock = Lock()
        self.begun = Event()

    def open(self) -> Intake:
        """Begin with a sender."""
        return _Sender(self)


class _Sender:
    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def begin(self, request: StoreRequest) -> Incoming:
        """Take one data set in."""
        self._recording.begun.set()
        return _Recorded(self._recording, request)

    def make_ready(self) -> None:
        """Nothing can be done."""

    def close(self) -> None:
        """Nothing is left."""


class _Recorded:
    def __init__(self, recording: Recording, request: StoreRequest) -> None:
        self._recording = recording
        self._request = request
        self._data = bytearray()

    @property
    def takes_bytes(self) -> int:
        """As much as comes."""
        return 1

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append fragments."""
        for fragment in fragments:
            self._data += fragment

    def finish(self, rest: Chunk = NOTHING) -> None:
        """Keep it, as soon as that is allowed."""
        self.write(rest.pieces())
        self._recording.whole.set()
        self._recording.may_finish.wait(60)
        with self._recording.lock:
            self._recording.kept.append((self._request, bytes(self._data)))

    def hand_over(self) -> Future[Receipt]:
        """Say that it is new."""
        with self._recording.lock:
            self._recording.handed_over += 1
        kept: Future[Receipt] = Future()
        kept.set_result(Receipt.NEW)
        return kept

    def discard(self) -> None:
        """Count it."""
        with self._recording.lock:
            self._recording.discarded += 1
