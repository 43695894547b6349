"""The storage SCP: a listening front, and a thread for each association."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from node.config.model import Receive
from node.errors import ConfigError
from node.receive.admission import LOCAL_LIMIT_EXCEEDED, Admission, Strangers
from node.receive.association import Association
from node.receive.buffers import Buffers
from node.receive.commitment import CommitmentService
from node.receive.front import Caller, Front
from node.receive.negotiation import Negotiator
from node.receive.occupancy import Occupancy
from node.receive.pdu import reject
from node.receive.reception import Reception
from node.receive.store_request import Keeping
from node.receive.tls import Certificates

log = structlog.get_logger(__name__)

BACKLOG: Final = 1024
FINISH_WITHIN_S: Final = 5.0
"""What is under way when the node stops may still be answered in this time."""
SPARE_THREADS: Final = 64
"""Callers that are being looked at while all associations are taken."""


class StorageScp:
    """The listening half of the node.

    Parameters
    ----------
    receive
        Its section of the configuration.
    keeping
        Makes data sets durable.
    commitment
        Takes requests and reports of storage commitment; None: they are not accepted.
    slot
        Number of this receiver process, from 0.
    shared_folder
        Where the receiver processes of this host share their counts; None: there is only one.
    """

    def __init__(
        self,
        receive: Receive,
        keeping: Keeping,
        *,
        commitment: CommitmentService | None = None,
        slot: int = 0,
        shared_folder: Path | None = None,
    ) -> None:
        self._receive = receive
        monotonic = time.monotonic
        self._strangers = Strangers(monotonic)
        self._reception = Reception(
            receive,
            Admission(receive.ae_title, receive.accept_from, monotonic),
            self._strangers,
            Occupancy(receive, shared_folder, slot),
            Negotiator(
                receive.private_sop_classes,
                receive.max_pdu_bytes,
                commitment=commitment is not None,
            ),
            keeping,
            Buffers(),
            commitment,
            monotonic,
        )
        self._lock = Lock()
        self._associations: set[Association] = set()
        self._front: Front | None = None
        self._port = 0

    def start(self) -> None:
        """Listen in threads of its own.

        Raises
        ------
        ConfigError
            If the port is taken, or a TLS file cannot be used.
        """
        receive = self._receive
        certificates = None
        if receive.tls is not None:
            certificates = Certificates(receive.tls, time.monotonic)
        _allow_descriptors(4 * receive.max_associations + BACKLOG)
        listener = _listen(receive)
        self._port = int(listener.getsockname()[1])
        self._front = Front(
            listener,
            certificates,
            self._reception.admission,
            self._strangers,
            self._welcome,
            receive.acse_timeout_s,
            time.monotonic,
        )
        self._front.start()
        log.info("scp.listening", ae_title=receive.ae_title, host=receive.host, port=self._port)

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._port

    def stop(self) -> None:
        """Stop listening, let what is under way be answered, and abort what is still open."""
        if self._front is None:
            return
        self._front.stop()
        self._front = None
        with self._lock:
            open_now = list(self._associations)
        for association in open_now:
            association.stop()
        deadline = time.monotonic() + FINISH_WITHIN_S
        for association in open_now:
            association.join(max(0.0, deadline - time.monotonic()))
        for association in open_now:
            association.kill()

    def _welcome(self, caller: Caller) -> None:
        with self._lock:
            is_full = len(self._associations) >= self._receive.max_associations + SPARE_THREADS
            if not is_full:
                association = Association(self._reception, caller, self._forget)
                # Started under the lock: `stop` must not meet one that has no thread yet.
                association.start()
                self._associations.add(association)
        if is_full:
            with contextlib.suppress(OSError):
                caller.connection.send(reject(*LOCAL_LIMIT_EXCEEDED))
            caller.connection.close()

    def _forget(self, association: Association) -> None:
        with self._lock:
            self._associations.discard(association)


def _listen(receive: Receive) -> socket.socket:
    """Open the listening socket.

    Raises
    ------
    ConfigError
        If the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            receive.host, receive.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if receive.processes > 1:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"receive: cannot listen on {receive.host}:{receive.port}: {error.strerror}"
        ) from error
    return listener


def _allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files where it is lower than the node may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
