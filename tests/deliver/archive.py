"""A scripted archive: stores, lists, and commits to what it holds, as the test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from node.dimse.commitment import (
    ALL_COMMITTED,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    SOME_FAILED,
    event_information,
    read_request,
)

ON_THE_SAME_ASSOCIATION = "on the same association"
ON_A_NEW_ASSOCIATION = "on a new association"
NEVER = "never"


class Archive:
    """An application entity with storage commitment.

    Attributes
    ----------
    report
        How it reports.
    loses
        Data set → whether it says Success and forgets the object.
    fails
        SOP Instance UID → failure reason it reports, whatever it holds.
    transaction_uid
        Transaction UID asked for → the one it reports on.
    action_status
        What it answers to the N-ACTION.
    requests
        Each request for commitment: Transaction UID and SOP Instance UIDs.
    answers
        Status of each answer to a report that it made on a new association.
    """

    def __init__(
        self,
        *,
        ae_title: str = "MAINPACS",
        port: int = 0,
        node_port: int = 0,
        commitment: bool = True,
        find: bool = True,
        report: str = ON_THE_SAME_ASSOCIATION,
    ) -> None:
        self.stored: list[Dataset] = []
        self.held: dict[str, Dataset] = {}
        self.report = report
        self.loses: Callable[[Dataset], bool] = lambda _ds: False
        self.fails: dict[str, int] = {}
        self.transaction_uid: Callable[[str], str] = lambda uid: uid
        self.action_status = 0x0000
        self.requests: list[tuple[str, list[str]]] = []
        self.answers: list[int | None] = []
        self.node_port = node_port
        self.role_selection = True
        self._ae_title = ae_title
        self._threads: list[threading.Thread] = []
        ae = AE(ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax or UID(""))
        if commitment:
            ae.add_supported_context(PUSH_MODEL)
        if find:
            ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._server = ae.start_server(
            ("127.0.0.1", port),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_N_ACTION, self._on_action),
                (evt.EVT_C_FIND, self._on_find),
            ],
        )
        self.port = int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening."""
        for thread in self._threads:
            thread.join(20)
        self._server.shutdown()

    def tell(self, transaction_uid: str, uids: list[tuple[str, str]]) -> int | None:
        """Report on a transaction on a new association; the status of the answer."""
        ae = AE(self._ae_title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
        ae.add_requested_context(PUSH_MODEL)
        roles = [build_role(PUSH_MODEL, scu_role=False, scp_role=True)]
        opened = ae.associate(
            "127.0.0.1",
            self.node_port,
            ae_title="WETREAD",
            ext_neg=roles if self.role_selection else [],
        )
        if not opened.is_established:
            return None
        answer = self._send(opened, transaction_uid, uids)
        opened.release()
        return answer

    def _send(self, association: Any, transaction_uid: str, uids: list[Any]) -> int | None:
        committed, failed = [], {}
        for one in uids:
            if one[1] in self.fails:
                failed[one] = self.fails[one[1]]
            elif one[1] in self.held:
                committed.append(one)
            else:
                failed[one] = 0x0112
        answer, _ = association.send_n_event_report(
            event_information(self.transaction_uid(transaction_uid), committed, failed),
            SOME_FAILED if failed else ALL_COMMITTED,
            PUSH_MODEL,
            PUSH_MODEL_INSTANCE,
        )
        return answer.get("Status")

    def _on_store(self, event: evt.Event) -> int:
        ds = event.dataset
        self.stored.append(ds)
        if not self.loses(ds):
            self.held[str(ds.SOPInstanceUID)] = ds
        return 0x0000

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for ds in list(self.held.values()):
            if ds.SeriesInstanceUID == event.identifier.SeriesInstanceUID:
                found = Dataset()
                found.SOPInstanceUID = ds.SOPInstanceUID
                yield 0xFF00, found

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        transaction_uid, wanted = read_request(event.action_information)
        self.requests.append((transaction_uid, [uid for _, uid in wanted]))
        if self.action_status == 0x0000 and self.report != NEVER:
            thread = threading.Thread(
                target=self._tell_all, args=(event.assoc, transaction_uid, wanted), daemon=True
            )
            self._threads.append(thread)
            thread.start()
        return self.action_status, None

    def _tell_all(self, association: Any, transaction_uid: str, wanted: list[Any]) -> None:
        if self.report == ON_THE_SAME_ASSOCIATION:
            self._send(association, transaction_uid, wanted)
        else:
            self.answers.append(self.tell(transaction_uid, wanted))


@contextmanager
def archive(**options: Any) -> Iterator[Archive]:
    """An archive for the length of a block."""
    running = Archive(**options)
    try:
        yield running
    finally:
        running.stop()
