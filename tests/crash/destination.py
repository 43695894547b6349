"""Destinations that remember the bytes they were sent, and a network that breaks before them."""

from __future__ import annotations

import hashlib
import math
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

from node.dimse import VERIFICATION

RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Arrived:
    """One result as it came; `evidence` has the SOP Instance UIDs a report says it is about."""

    study_instance_uid: str
    modality: str
    evidence: frozenset[str]
    sha256: str


class Archive:
    """A storage SCP that takes everything and keeps hashes.

    `answer` is the status it gives: 0xA700 makes it full. `kept` has each object by SOP
    Instance UID; `different` those that came again with other bytes; `last_arrival` the moment
    (monotonic) of each study's last result.
    """

    def __init__(self, ae_title: str) -> None:
        self.answer = 0x0000
        self.kept: dict[str, Arrived] = {}
        self.different: list[str] = []
        self.requests = 0
        self.last_arrival: dict[str, float] = {}
        self._lock = threading.Lock()
        ae = AE(ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax), list(ALL_TRANSFER_SYNTAXES))
        ae.add_supported_context(VERIFICATION)
        self._server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_store)]
        )
        self.port = int(self._server.socket.getsockname()[1])

    def _on_store(self, event: evt.Event) -> int:
        ds = event.dataset
        encoded = event.encoded_dataset(include_meta=False)
        came = Arrived(
            str(ds.StudyInstanceUID),
            str(ds.Modality),
            _evidence(ds),
            hashlib.sha256(encoded).hexdigest(),
        )
        with self._lock:
            self.requests += 1
            if self.answer:
                return self.answer
            self.last_arrival[came.study_instance_uid] = time.monotonic()
            there = self.kept.setdefault(str(ds.SOPInstanceUID), came)
            if there != came:
                self.different.append(str(ds.SOPInstanceUID))
        return 0x0000

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()


def _evidence(ds: Dataset) -> frozenset[str]:
    return frozenset(
        str(instance.ReferencedSOPInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    )


class Proxy:
    """A network before a port: it resets connections in the middle of what they carry.

    Parameters
    ----------
    breaks
        How many of the connections are reset, from 0 to 1; may be changed while it runs. Half
        of them break on the way there, half inside an answer.
    """

    def __init__(self, port: int, seed: str, *, breaks: float = 0.0) -> None:
        self.breaks = breaks
        self.broken = 0
        self._target = port
        self._rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            near, _ = self._listener.accept()
            limits: tuple[float, float] = (math.inf, math.inf)
            if self._rng.random() < self.breaks:
                there = 10 ** self._rng.uniform(1, 6)
                back = self._rng.randrange(1, 300)
                limits = (there, math.inf) if self._rng.random() < 0.5 else (math.inf, back)
            threading.Thread(target=self._connect, args=(near, *limits), daemon=True).start()

    def _connect(self, near: socket.socket, there: float, back: float) -> None:
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                return
            with far:
                try:
                    if _carry(near, far, there, back):
                        self.broken += 1
                        for end in (near, far):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                except OSError:
                    return

    def stop(self) -> None:
        """Take no more connections."""
        self._closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()


def _carry(near: socket.socket, far: socket.socket, there: float, back: float) -> bool:
    """Carry bytes both ways; whether a limit was reached. `back` counts from the second answer."""
    first_answer = True
    while True:
        for source in select.select([near, far], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return False
            if source is near:
                there -= len(data)
                far.sendall(data[: len(data) + int(min(there, 0))])
            else:
                back -= 0 if first_answer else len(data)
                first_answer = False
                near.sendall(data[: len(data) + int(min(back, 0))])
            if there < 0 or back < 0:
                return True
