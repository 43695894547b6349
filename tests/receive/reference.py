"""The storage SCP as pynetdicom does it: the reference behaviour of the door."""

from __future__ import annotations

from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt

from node.config.model import Receive
from node.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, VERIFICATION
from node.receive.sop_classes import RETIRED_STORAGE
from node.receive.store_request import Keeping, StoreRequest
from node.receive.storing import StoreOperation


class ReferenceScp:
    """pynetdicom's association, DIMSE and service machinery around the same `Keeping`."""

    def __init__(self, receive: Receive, keeping: Keeping) -> None:
        self._receive = receive
        self._keeping = keeping
        self._server: Any = None

    def start(self) -> None:
        """Listen."""
        ae = AE(self._receive.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        for sop_class_uid in RETIRED_STORAGE:
            ae.add_supported_context(UID(sop_class_uid), ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(VERIFICATION)
        ae.require_called_aet = True
        ae.require_calling_aet = [peer.ae_title for peer in self._receive.accept_from]
        ae.maximum_pdu_size = self._receive.max_pdu_bytes
        ae.network_timeout = ae.acse_timeout = self._receive.network_timeout_s
        ae.dimse_timeout = self._receive.network_timeout_s
        level, _config.LOG_HANDLER_LEVEL = _config.LOG_HANDLER_LEVEL, "none"
        self._ae = ae
        self._server = ae.start_server(
            (self._receive.host, self._receive.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store)],
        )
        _config.LOG_HANDLER_LEVEL = level

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._ae.shutdown()

    def _on_store(self, event: evt.Event) -> int:
        operation = StoreOperation(
            self._keeping.open(),
            StoreRequest(
                str(event.request.AffectedSOPClassUID),
                str(event.request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                event.assoc.requestor.ae_title.strip(),
            ),
        )
        operation.write([memoryview(event.encoded_dataset(include_meta=False))])
        status, _ = operation.finish()
        operation.answered()
        return status
