"""A `Keeping` that keeps in memory what it was given, for tests of the protocol alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event, Lock

from node.receive.store_request import Incoming, StoreRequest
from node.store.standing import Receipt


class Recording:
    """What came: requests with their whole data sets, and how many were given up."""

    def __init__(self) -> None:
        self.kept: list[tuple[StoreRequest, bytes]] = []
        self.discarded = 0
        self.lock = Lock()
        self.begun = Event()

    def begin(self, request: StoreRequest) -> Incoming:
        """Take one data set in."""
        self.begun.set()
        return _Recorded(self, request)


class _Recorded:
    def __init__(self, recording: Recording, request: StoreRequest) -> None:
        self._recording = recording
        self._request = request
        self._data = bytearray()

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append fragments."""
        for fragment in fragments:
            self._data += fragment

    def finish(self) -> Future[Receipt]:
        """Keep it."""
        with self._recording.lock:
            self._recording.kept.append((self._request, bytes(self._data)))
        kept: Future[Receipt] = Future()
        kept.set_result(Receipt.NEW)
        return kept

    def discard(self) -> None:
        """Count it."""
        with self._recording.lock:
            self._recording.discarded += 1
