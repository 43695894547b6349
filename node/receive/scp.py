"""The storage SCP: pynetdicom's association and DIMSE machinery around `Keeper`."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, cast

import structlog
from pydicom.uid import UID
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    _config,
    evt,
    register_uid,
)
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.service_class import StorageServiceClass
from sqlalchemy.exc import SQLAlchemyError

from node.config.model import Receive, Tls
from node.dimse import VERIFICATION, send_at_once
from node.errors import ConfigError, RejectedInstance
from node.metrics import INSTANCES_RECEIVED
from node.receive.admission import Admission
from node.receive.keep import Keeper, Received
from node.receive.sop_classes import RETIRED_STORAGE

log = structlog.get_logger(__name__)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
ACSE_TIMEOUT_S = 30


class StorageScp:
    """The listening half of the node.

    Parameters
    ----------
    receive
        Its section of the configuration.
    keeper
        Makes instances durable.
    """

    def __init__(self, receive: Receive, keeper: Keeper) -> None:
        self._receive = receive
        self._keeper = keeper
        self._admission = Admission(receive.ae_title, receive.accept_from, receive.max_associations)
        self._server: Any = None
        self._ae: Any = None

    def start(self) -> None:
        """Listen in threads of their own.

        Raises
        ------
        ConfigError
            If the port is taken, or a TLS file cannot be used.
        """
        # Each PDU would be rendered as text for a log that nobody has asked for.
        _config.LOG_HANDLER_LEVEL = "none"
        receive = self._receive
        ae = AE(receive.ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(cast(UID, context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        for sop_class_uid in (*RETIRED_STORAGE, *receive.private_sop_classes):
            # Without this pynetdicom takes the class for no storage class and aborts.
            keyword = f"Storage_{sop_class_uid.replace('.', '_')}"
            register_uid(sop_class_uid, keyword, StorageServiceClass)
            ae.add_supported_context(sop_class_uid, ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(VERIFICATION)
        ae.maximum_pdu_size = receive.max_pdu_bytes
        ae.acse_timeout = ACSE_TIMEOUT_S
        ae.dimse_timeout = receive.network_timeout_s
        ae.network_timeout = receive.network_timeout_s
        # The admission counts; pynetdicom's own limit would answer before it can say why.
        ae.maximum_associations = receive.max_associations + 64
        self._ae = ae
        try:
            self._server = ae.start_server(
                (receive.host, receive.port),
                block=False,
                ssl_context=None if receive.tls is None else _tls_context(receive.tls),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, send_at_once),
                    (evt.EVT_REQUESTED, self._on_requested),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_C_ECHO, self._on_echo),
                    (evt.EVT_ABORTED, self._on_aborted),
                ],
            )
        except OSError as error:
            raise ConfigError(
                f"receive: cannot listen on {receive.host}:{receive.port}: {error.strerror}"
            ) from error
        log.info("scp.listening", ae_title=receive.ae_title, host=receive.host, port=self.port)

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening and abort what is still associated."""
        if self._server is not None:
            self._server.shutdown()
            self._ae.shutdown()
            self._server = None

    def _on_requested(self, event: Event) -> None:
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        rejection = self._admission.refuse(
            request.called_ae_title.strip(),
            request.calling_ae_title.strip(),
            event.assoc.requestor.address,
            sum(a.is_acceptor for a in self._ae.active_associations),
        )
        if rejection is None:
            return
        log.warning(
            "association.rejected",
            calling_ae_title=request.calling_ae_title.strip(),
            address=event.assoc.requestor.address,
            reason=rejection.reason,
        )
        event.assoc.acse.send_reject(rejection.result, rejection.source, rejection.diagnostic)
        event.assoc.kill()

    def _on_store(self, event: Event) -> int:
        """Answer one C-STORE request.

        Success is returned only after the bytes are on disk and in the index, because
        Success says that the instance is stored (PS3.4 Section B.2.3).
        """
        return answer_store(self._keeper.keep, event)

    def _on_echo(self, event: Event) -> int:
        log.info("echo.answered", calling_ae_title=event.assoc.requestor.ae_title.strip())
        return SUCCESS

    def _on_aborted(self, event: Event) -> None:
        log.warning(
            "association.aborted",
            calling_ae_title=event.assoc.requestor.ae_title.strip(),
            address=event.assoc.requestor.address,
        )


def answer_store(keep: Callable[[Received], object], event: Event) -> int:
    """Keep one instance and return the DIMSE status that says what became of it.

    ``0x0000`` kept · ``0xA700`` out of resources, send again later · ``0xA900`` not what
    the request says · ``0xC000`` cannot be understood · ``0x0110`` a fault of ours.
    """
    request = cast(C_STORE, event.request)
    sop_instance_uid = str(request.AffectedSOPInstanceUID or "")
    received = Received(
        sop_class_uid=str(request.AffectedSOPClassUID or ""),
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=str(event.context.transfer_syntax),
        calling_ae_title=event.assoc.requestor.ae_title.strip(),
        data_set=event.encoded_dataset(include_meta=False),
    )
    try:
        kept = keep(received)
    except RejectedInstance as error:
        INSTANCES_RECEIVED.labels(outcome="rejected").inc()
        log.warning(
            "instance.rejected",
            sop_instance_uid=sop_instance_uid,
            status=f"0x{error.status:04X}",
            reason=error.reason,
        )
        return error.status
    except (OSError, SQLAlchemyError):
        INSTANCES_RECEIVED.labels(outcome="out of resources").inc()
        log.exception("instance.not_stored", sop_instance_uid=sop_instance_uid)
        return OUT_OF_RESOURCES
    except Exception:  # the association, and the next instance, must go on
        INSTANCES_RECEIVED.labels(outcome="failed").inc()
        log.exception("instance.failed", sop_instance_uid=sop_instance_uid)
        return PROCESSING_FAILURE
    INSTANCES_RECEIVED.labels(outcome=str(kept)).inc()
    log.debug("instance.kept", sop_instance_uid=sop_instance_uid, outcome=str(kept))
    return SUCCESS


def _tls_context(tls: Tls) -> ssl.SSLContext:
    """Mutual TLS 1.2 or newer (PS3.15 Section B.12)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"receive.tls: cannot use its files: {error}") from error
    return context
