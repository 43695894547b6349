"""The front of the door: callers wait here until their association request is whole.

One thread serves all of them with `epoll`. A caller that is slow, silent or broken costs a
descriptor and the bytes it has sent, never a thread; when there are too many the oldest is
dropped, so that a good one always finds room.
"""

from __future__ import annotations

import errno
import selectors
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Final

import structlog

from node.dimse import ASSOCIATE_RQ
from node.errors import ProtocolError
from node.receive.admission import Admission, Strangers
from node.receive.negotiation import FIXED_PART, AssociateRequest, read_request
from node.receive.pdu import (
    INVALID_PARAMETER,
    PDU_HEADER,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    abort,
    reject,
)
from node.receive.tls import Certificates, certificate_names

log = structlog.get_logger(__name__)

MAX_CALLERS: Final = 1024
"""Callers without an association at the same time."""
MAX_CALLER_BYTES: Final = 16 * 2**20
"""Bytes of unfinished association requests that are held for all callers together."""
MAX_REQUEST_BYTES: Final = 262144
"""Of an A-ASSOCIATE-RQ; 128 contexts with all 45 transfer syntaxes have 150 KB."""
LINGER_S: Final = 2.0
"""How long a rejected caller may take to hang up; a close at once could destroy the answer."""
_ACCEPTS_IN_A_ROW: Final = 64
_PAUSE_WITHOUT_DESCRIPTORS_S: Final = 0.1
_ABORT_BY_PROVIDER: Final = 2


@dataclass(frozen=True)
class Caller:
    """A peer whose association request has arrived, and whose AE titles are welcome.

    Parameters
    ----------
    connection
        Blocking again.
    certificate_names
        DNS names of its TLS certificate; empty without TLS.
    """

    connection: socket.socket
    address: str
    request: AssociateRequest
    certificate_names: frozenset[str]


class _Waiting:
    """One caller before its association."""

    def __init__(self, connection: socket.socket, address: str, deadline: float) -> None:
        self.connection = connection
        self.descriptor = connection.fileno()
        self.address = address
        self.deadline = deadline
        self.buffer = bytearray()
        self.needed = PDU_HEADER.size
        self.in_handshake = isinstance(connection, ssl.SSLSocket)
        self.is_leaving = False
        self.is_gone = False


class Front:
    """Accepts connections and reads their association requests in a thread of its own.

    Parameters
    ----------
    listener
        A listening socket; closed at the end.
    certificates
        For TLS; None: plain TCP.
    welcome
        Takes a caller over. Must return quickly.
    acse_timeout_s
        From the connection to the end of the request.
    monotonic
        Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        listener: socket.socket,
        certificates: Certificates | None,
        admission: Admission,
        strangers: Strangers,
        welcome: Callable[[Caller], None],
        acse_timeout_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._listener = listener
        self._certificates = certificates
        self._admission = admission
        self._strangers = strangers
        self._logged = Strangers(monotonic)
        self._welcome = welcome
        self._acse_timeout_s = acse_timeout_s
        self._monotonic = monotonic
        self._selector = selectors.DefaultSelector()
        # Both in the order of their deadlines, which is that of their arrival.
        self._callers: dict[int, _Waiting] = {}
        self._leaving: dict[int, _Waiting] = {}
        self._held_bytes = 0
        self._listen_again_at: float | None = None
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._run, name="front", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and hang up on everybody who has no association yet."""
        self._wake.send(b"\0")
        self._thread.join()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._woken:
                    self._close_all()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif not key.data.is_gone:
                    self._advance(key.data)
            self._drop_overdue()

    def _patience(self) -> float | None:
        deadlines = [] if self._listen_again_at is None else [self._listen_again_at]
        for callers in (self._callers, self._leaving):
            if callers:
                deadlines.append(next(iter(callers.values())).deadline)
        return max(0.0, min(deadlines) - self._monotonic()) if deadlines else None

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_IN_A_ROW):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._make_room()
                # Anything else is the trouble of a caller that has gone already.
                return
            self._take_in(connection, str(address[0]).removeprefix("::ffff:"))

    def _take_in(self, connection: socket.socket, address: str) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._certificates is not None:
                connection = self._certificates.current().wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
        except Exception:  # whatever TLS finds wrong, the next caller must get in
            log.exception("caller.failed", address=address)
            connection.close()
            return
        deadline = self._monotonic() + self._acse_timeout_s
        caller = _Waiting(connection, address, deadline)
        self._callers[caller.descriptor] = caller
        self._selector.register(connection, selectors.EVENT_READ, caller)
        if len(self._callers) + len(self._leaving) > MAX_CALLERS:
            self._drop_oldest("too many callers without an association")

    def _advance(self, caller: _Waiting) -> None:
        try:
            if caller.in_handshake:
                self._shake_hands(caller)
            while not caller.in_handshake and self._read(caller):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            self._selector.modify(caller.connection, selectors.EVENT_READ, caller)
        except ssl.SSLWantWriteError:
            # Any read may need to write in TLS 1.3, and what can be written always wakes.
            self._selector.modify(caller.connection, selectors.EVENT_WRITE, caller)
        except ProtocolError as error:
            self._log_abort(caller, str(error))
            self._answer(caller, abort(_ABORT_BY_PROVIDER, error.reason))
        except OSError as error:
            if caller.in_handshake:
                self._log_tls(caller, error)
            self._drop(caller)
        except Exception:  # one caller must not close the door for the others
            log.exception("caller.failed", address=caller.address)
            self._drop(caller)

    def _shake_hands(self, caller: _Waiting) -> None:
        assert isinstance(caller.connection, ssl.SSLSocket)  # noqa: S101 - for the type checker
        caller.connection.do_handshake()
        caller.in_handshake = False

    def _read(self, caller: _Waiting) -> bool:
        """Read once; False when the caller is no longer waiting, or has had its turn."""
        if caller.is_leaving:
            if not caller.connection.recv(65536):
                self._drop(caller)
            return False
        data = caller.connection.recv(min(caller.needed - len(caller.buffer), 65536))
        if not data:
            self._drop(caller)
            return False
        caller.buffer += data
        self._held_bytes += len(data)
        if self._held_bytes > MAX_CALLER_BYTES:
            self._drop_oldest("too many bytes of unfinished association requests")
            return not caller.is_gone
        if len(caller.buffer) < caller.needed:
            return True
        if caller.needed == PDU_HEADER.size:
            caller.needed += _request_length(caller.buffer)
            return True
        self._hand_over(caller)
        return False

    def _hand_over(self, caller: _Waiting) -> None:
        request = read_request(bytes(caller.buffer))
        stranger = self._admission.refuse_titles(request.called_ae_title, request.calling_ae_title)
        if stranger is None:
            names: frozenset[str] = frozenset()
            if isinstance(caller.connection, ssl.SSLSocket):
                names = certificate_names(caller.connection)
            self._forget(caller)
            caller.connection.setblocking(True)
            self._welcome(Caller(caller.connection, caller.address, request, names))
        elif self._strangers.answer(caller.address):
            log.warning(
                "association.rejected",
                calling_ae_title=request.calling_ae_title,
                address=caller.address,
                reason=stranger.reason,
            )
            rejection = reject(stranger.result, stranger.source, stranger.diagnostic)
            self._answer(caller, rejection)
        else:
            self._drop(caller)

    def _answer(self, caller: _Waiting, pdu: bytes) -> None:
        """Send a last PDU, and let the caller hang up."""
        try:
            caller.connection.send(pdu)
            socket.socket.shutdown(caller.connection, socket.SHUT_WR)
        except OSError:
            self._drop(caller)
            return
        self._held_bytes -= len(caller.buffer)
        caller.buffer.clear()
        caller.is_leaving = True
        caller.deadline = self._monotonic() + LINGER_S
        self._leaving[caller.descriptor] = self._callers.pop(caller.descriptor)

    def _make_room(self) -> None:
        """Close the oldest caller when there are no descriptors; without any, pause a while."""
        if self._callers or self._leaving:
            self._drop_oldest("no file descriptors left")
            return
        log.error("scp.no_descriptors")
        self._selector.unregister(self._listener)
        self._listen_again_at = self._monotonic() + _PAUSE_WITHOUT_DESCRIPTORS_S

    def _drop_overdue(self) -> None:
        now = self._monotonic()
        if self._listen_again_at is not None and now >= self._listen_again_at:
            self._listen_again_at = None
            self._selector.register(self._listener, selectors.EVENT_READ, None)
        for callers in (self._callers, self._leaving):
            while callers and (caller := next(iter(callers.values()))).deadline <= now:
                if not caller.is_leaving:
                    self._log_abort(caller, f"no association request in {self._acse_timeout_s:g} s")
                self._drop(caller)

    def _drop_oldest(self, reason: str) -> None:
        oldest = next(iter((self._leaving or self._callers).values()))
        if not oldest.is_leaving:
            self._log_abort(oldest, reason)
        self._drop(oldest)

    def _log_tls(self, caller: _Waiting, error: OSError) -> None:
        if self._logged.answer(caller.address):
            reason = getattr(error, "reason", None) or type(error).__name__
            log.warning("tls.failed", address=caller.address, reason=reason)

    def _log_abort(self, caller: _Waiting, reason: str) -> None:
        if self._logged.answer(caller.address):
            log.warning("association.aborted", address=caller.address, reason=reason)

    def _drop(self, caller: _Waiting) -> None:
        if not caller.is_gone:
            self._forget(caller)
        caller.connection.close()

    def _forget(self, caller: _Waiting) -> None:
        caller.is_gone = True
        self._selector.unregister(caller.connection)
        del (self._leaving if caller.is_leaving else self._callers)[caller.descriptor]
        self._held_bytes -= len(caller.buffer)

    def _close_all(self) -> None:
        for caller in [*self._callers.values(), *self._leaving.values()]:
            self._drop(caller)
        self._selector.close()
        self._listener.close()
        self._wake.close()
        self._woken.close()


def _request_length(header: bytearray) -> int:
    """Length of the request whose PDU header has come.

    Raises
    ------
    ProtocolError
        If it is another PDU, or longer than any request.
    """
    pdu_type, length = PDU_HEADER.unpack(header)
    if pdu_type != ASSOCIATE_RQ:
        known = 0 < pdu_type <= 7
        raise ProtocolError(
            UNEXPECTED_PDU if known else UNRECOGNIZED_PDU,
            f"a PDU of type {pdu_type:#04x} where an A-ASSOCIATE-RQ was expected",
        )
    if not FIXED_PART.size <= length <= MAX_REQUEST_BYTES:
        raise ProtocolError(
            INVALID_PARAMETER,
            f"an A-ASSOCIATE-RQ of {length} bytes; expected {FIXED_PART.size} to "
            f"{MAX_REQUEST_BYTES}",
        )
    return int(length)
