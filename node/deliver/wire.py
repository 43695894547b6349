"""The TCP connection to a destination: whole PDUs within a deadline, and no waiting for ACKs.

Two algorithms that are good by themselves wait for each other here. A peer on DCMTK's
defaults writes its answer in two pieces with Nagle's algorithm on, so the second piece waits
for the ACK of the first, and that ACK our kernel delays by 40 ms, for every object. Linux
sends it at once where `TCP_QUICKACK` is set, but forgets the option again, so it is set
before each read.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import Final

from node.config.destination import DimseDestination
from node.deliver.tls import client_context
from node.errors import Away, TransientError

MAX_ANSWER_BYTES: Final = 65536
"""Of one PDU from a destination: an A-ASSOCIATE-AC with 128 contexts has less than 16 KiB."""

_HEADER: Final = struct.Struct(">BxI")
_PIECES_AT_ONCE: Final = 512
"""Buffers given to one ``sendmsg``; Linux takes 1024 (IOV_MAX)."""
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class Wire:
    """An open connection, read PDU by PDU. Not thread-safe.

    Parameters
    ----------
    name
        Of the peer, for messages.
    timeout_s
        For each piece that is sent, and for each whole PDU that is waited for.
    """

    def __init__(self, connection: socket.socket, name: str, timeout_s: float) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._socket = connection
        self._received = bytearray()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def deadline(self) -> float:
        """When an answer that is asked for now must be there, on the monotonic clock."""
        return time.monotonic() + self.timeout_s

    def send(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send buffers one after the other, in as few system calls as possible.

        Raises
        ------
        TransientError
            If the peer does not take them all within the timeout, or is gone.
        """
        deadline = self.deadline()
        waiting = list(pieces)
        try:
            while waiting:
                self._socket.settimeout(self._remaining(deadline, "took nothing"))
                if isinstance(self._socket, ssl.SSLSocket):  # which has no sendmsg
                    self._socket.sendall(b"".join(waiting))
                    return
                sent = self._socket.sendmsg(waiting[:_PIECES_AT_ONCE])
                waiting = _without(waiting, sent)
        except TimeoutError as error:
            raise self._late("took nothing") from error
        except OSError as error:
            raise self._broken(error) from error

    def receive(self, deadline: float) -> tuple[int, bytes]:
        """Wait for one whole PDU and return its type and its variable field (PS3.8 Section 9.3).

        Raises
        ------
        TransientError
            If it is not there by the deadline, however much of it is; if it is longer than
            any answer can be; if the peer closes the connection.
        """
        kind, length = _HEADER.unpack(self._take(_HEADER.size, deadline))
        if length > MAX_ANSWER_BYTES:
            raise TransientError(
                f"{self.name} announced a PDU of {length} bytes (type 0x{kind:02X}); an answer has "
                f"at most {MAX_ANSWER_BYTES}. Is it a DICOM peer without TLS?"
            )
        return kind, self._take(length, deadline)

    def has_news(self) -> bool:
        """Whether the peer has said something, or closed the connection, without being asked."""
        if self._received:
            return True
        if isinstance(self._socket, ssl.SSLSocket):
            return self._has_news_in(self._socket)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _has_news_in(self, connection: ssl.SSLSocket) -> bool:
        """Read what there is: bytes on the line may be TLS's own, such as a session ticket."""
        try:
            connection.settimeout(0)
            self._received += connection.recv(MAX_ANSWER_BYTES)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        return True

    def _take(self, count: int, deadline: float) -> bytes:
        try:
            while len(self._received) < count:
                self._socket.settimeout(self._remaining(deadline, "did not answer"))
                self._acknowledge_at_once()
                piece = self._socket.recv(MAX_ANSWER_BYTES)
                if not piece:
                    raise TransientError(f"{self.name} broke the association off")
                self._received += piece
        except TimeoutError as error:
            raise self._late("did not answer") from error
        except OSError as error:
            raise self._broken(error) from error
        # Again: what was read now may have been the first half of an answer.
        self._acknowledge_at_once()
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _acknowledge_at_once(self) -> None:
        if _QUICK_ACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def _remaining(self, deadline: float, what: str) -> float:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._late(what)
        return remaining

    def _late(self, what: str) -> TransientError:
        return TransientError(f"{self.name} {what} within {self.timeout_s:g} s")

    def _broken(self, error: OSError) -> TransientError:
        return TransientError(f"{self.name} broke the association off ({_words(error)})")


def connect(destination: DimseDestination) -> Wire:
    """Open a connection to a destination, with TLS where it is configured.

    Raises
    ------
    Away
        If the host name is not known, nobody listens, or nobody answers in time; if the
        destination shows no certificate that can be trusted, or does not trust the node's.
    """
    name = name_of(destination)
    connection: socket.socket | None = None
    try:
        connection = socket.create_connection(
            (destination.host, destination.port), timeout=destination.timeout_s
        )
        if tls := destination.tls:
            connection = client_context(tls).wrap_socket(
                connection, server_hostname=tls.server_name or destination.host
            )
    except (OSError, UnicodeError, ValueError) as error:
        if connection is not None:
            connection.close()
        raise Away(f"{name} cannot be reached: {_words(error)}") from error
    return Wire(connection, name, destination.timeout_s)


def name_of(destination: DimseDestination) -> str:
    """How messages call a destination: AE title, host and port."""
    return f"{destination.ae_title} at {destination.host}:{destination.port}"


def frame(kind: int, body: bytes) -> bytes:
    """One PDU of its type and variable field."""
    return _HEADER.pack(kind, len(body)) + body


def _without(pieces: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[number + 1 :]]
        sent -= len(piece)
    return []


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection ({error.reason or type(error).__name__})"
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        # A resolver's numbers are not those of the system.
        return error.strerror or os.strerror(error.errno)
    return type(error).__name__
