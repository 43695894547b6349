"""Real DICOM peers on loopback, and waiting for conditions instead of sleeping."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from node.dimse import VERIFICATION

POLL_S = 0.02


def wait_until(condition: Callable[[], object], *, within_s: float, what: str) -> None:
    """Return as soon as the condition holds; fail with its name if it does not in time."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        pause.wait(POLL_S)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """A storage SCP that keeps data sets in memory and answers as the test wants.

    Parameters
    ----------
    answer
        Data set → DIMSE status.
    sop_classes
        Accepted SOP classes; None: all storage classes.
    transfer_syntaxes
        Accepted transfer syntaxes.
    find
        Whether it answers queries at IMAGE level.
    tls
        Makes it a peer with TLS.

    Attributes
    ----------
    abort_at
        Data set → whether to abort the association instead of answering.
    """

    def __init__(
        self,
        *,
        ae_title: str = "MAINPACS",
        port: int = 0,
        answer: Callable[[Dataset], int] = lambda _ds: 0x0000,
        sop_classes: Sequence[str] | None = None,
        transfer_syntaxes: Sequence[str] = tuple(ALL_TRANSFER_SYNTAXES),
        find: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.stored: list[Dataset] = []
        self.associations = 0
        self.calling: list[str] = []
        self.answer = answer
        self.abort_at: Callable[[Dataset], bool] = lambda _ds: False
        ae = AE(ae_title)
        ae.require_called_aet = True
        classes = sop_classes or [c.abstract_syntax for c in AllStoragePresentationContexts]
        for sop_class in classes:
            ae.add_supported_context(sop_class, list(transfer_syntaxes))
        ae.add_supported_context(VERIFICATION)
        if find:
            ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._server = ae.start_server(
            ("127.0.0.1", port),
            block=False,
            ssl_context=tls,
            evt_handlers=[
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_ESTABLISHED, self._on_established),
                (evt.EVT_C_FIND, self._on_find),
            ],
        )
        self.port = int(self._server.socket.getsockname()[1])

    def _on_established(self, event: evt.Event) -> None:
        self.associations += 1
        self.calling.append(event.assoc.requestor.ae_title)

    def _on_store(self, event: evt.Event) -> int:
        ds = event.dataset
        ds.file_meta = event.file_meta
        if self.abort_at(ds):
            event.assoc.abort()
            return 0x0110
        status = self.answer(ds)
        if status == 0x0000:
            self.stored.append(ds)
        return status

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        for ds in list(self.stored):
            if ds.SeriesInstanceUID == asked.SeriesInstanceUID:
                found = Dataset()
                found.QueryRetrieveLevel = "IMAGE"
                found.StudyInstanceUID = ds.StudyInstanceUID
                found.SeriesInstanceUID = ds.SeriesInstanceUID
                found.SOPInstanceUID = ds.SOPInstanceUID
                yield 0xFF00, found

    def of(self, study_instance_uid: str) -> list[Dataset]:
        """What came for one study, in order."""
        return [ds for ds in self.stored if ds.StudyInstanceUID == study_instance_uid]

    def stop(self) -> None:
        """Stop listening; a second time does nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@contextmanager
def peer(**options: object) -> Iterator[Peer]:
    """A peer for the length of a block."""
    running = Peer(**options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def association(
    port: int,
    datasets: Sequence[Dataset] = (),
    *,
    calling: str = "CT1",
    called: str = "WETREAD",
) -> Iterator[Association]:
    """An association to the node that proposes what the data sets need, and C-ECHO."""
    ae = AE(calling)
    # A machine that stands still for half a minute must not look like a node that is silent.
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 120
    ae.add_requested_context(VERIFICATION)
    pairs = {(str(d.SOPClassUID), str(d.file_meta.TransferSyntaxUID)) for d in datasets}
    for sop_class, syntax in sorted(pairs):
        ae.add_requested_context(sop_class, syntax or ExplicitVRLittleEndian)
    opened = ae.associate("127.0.0.1", port, ae_title=called)
    keep_answers(opened)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()


def keep_answers(opened: Association) -> None:
    """Keep pynetdicom's own thread from dropping answers; only `send_*` takes messages then.

    That thread looks for requests of the peer. It counts as paused until a moment after it has
    been let go on, and what it finds in that moment, the answer to a C-STORE, is lost.
    """
    take = opened.dimse.get_msg

    def take_what_is_waited_for(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    opened.dimse.get_msg = take_what_is_waited_for


def store_all(port: int, datasets: Sequence[Dataset], *, calling: str = "CT1") -> list[int]:
    """C-STORE data sets over one association and return the statuses."""
    with association(port, datasets, calling=calling) as opened:
        assert opened.is_established
        answers = [opened.send_c_store(ds) for ds in datasets]
        silent = [number for number, answer in enumerate(answers) if "Status" not in answer]
        assert not silent, f"no answer to {silent}; aborted: {opened.is_aborted}"
        return [int(answer.Status) for answer in answers]
