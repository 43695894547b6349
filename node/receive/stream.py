"""The connection of one association: every call waits only so long, in the kernel."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

_TIMEVAL: Final = struct.Struct("@ll")
_SHORTEST_WAIT_S: Final = 0.001
"""A time of 0 would mean to wait for ever (socket(7))."""
_QUICK_ACK: Final = getattr(socket, "TCP_QUICKACK", None)


class Stream:
    """Bytes from and to one peer.

    A timeout of Python's own costs a `poll` before each call, and with it a moment in which
    another thread takes the interpreter: where the kernel can keep the time, it does.

    Parameters
    ----------
    connection
        Blocking; plain TCP or TLS.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_tls = isinstance(connection, ssl.SSLSocket)
        self._waits_s = 0.0

    def wait_at_most(self, seconds: float) -> None:
        """Set how long a call may wait, to within a twentieth.

        That costs a system call, so what is near enough stays.
        """
        if 0.95 * seconds <= self._waits_s <= 1.05 * seconds:
            return
        self._waits_s = seconds
        if self._is_tls:
            self._connection.settimeout(seconds)
            return
        whole, fraction = divmod(max(seconds, _SHORTEST_WAIT_S), 1)
        time = _TIMEVAL.pack(int(whole), int(fraction * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._connection.setsockopt(socket.SOL_SOCKET, option, time)

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes; return how many came, 0 when the peer has closed its side.

        Raises
        ------
        TimeoutError
            If none came in time.
        OSError
            If the connection is lost.
        """
        try:
            return self._connection.recv_into(buffer)
        except BlockingIOError:
            raise TimeoutError("nothing came in time") from None

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises
        ------
        TimeoutError
            If the peer does not take it in time.
        OSError
            If the connection is lost.
        """
        try:
            self._connection.sendall(data)
        except BlockingIOError:
            raise TimeoutError("the peer takes nothing") from None

    def acknowledge(self) -> None:
        """Have the kernel acknowledge at once what has come.

        A peer with Nagle's algorithm holds its last segment back until then (RFC 896).
        """
        if _QUICK_ACK is not None:
            self._connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def shut(self, how: int) -> None:
        """Shut down one side or both; a thread that waits returns."""
        with suppress(OSError):  # it may be closed already
            # Not the method of an SSLSocket: that one takes the TLS layer away as well.
            socket.socket.shutdown(self._connection, how)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
