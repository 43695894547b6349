"""The MLLP listener: one thread with an event loop for all connections.

A connection that is slow, silent or broken costs a descriptor and the bytes it has sent. How
many there may be, how much they may hold and how long they may take is limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any, Final

import structlog

from node.config.reports import Hl7, Hl7Peer
from node.errors import ConfigError, ProtocolError
from node.receive.admission import Addresses, Strangers
from node.receive.hl7.framing import Deframer, framed
from node.receive.hl7.stream import Stream
from node.receive.tls import Certificates

log = structlog.get_logger(__name__)

BACKLOG: Final = 512
KEEPERS: Final = 4
"""Messages that are made durable at the same time."""
HELD_MESSAGES: Final = 4
"""Unfinished messages of all connections together may hold so many times the largest one."""
PAUSE_WITHOUT_DESCRIPTORS_S: Final = 0.1
STOP_WITHIN_S: Final = 10.0
ROUNDS_TO_HANG_UP: Final = 10
"""Of the loop, in which transports that were aborted close their sockets; TLS takes several."""


class _Connection:
    """One caller."""

    def __init__(self, accepted: socket.socket, address: str, deframer: Deframer) -> None:
        self.accepted = accepted
        self.transport: asyncio.Transport | None = None
        self.address = address
        self.deframer = deframer
        self.silent_since = time.monotonic()
        self.begun_at: float | None = None
        self.is_answered = True
        self.task: asyncio.Task[None] | None = None
        self.reason = ""

    def close(self, reason: str) -> None:
        """End it from outside."""
        self.reason = reason
        if self.task is not None:
            self.task.cancel()


class MllpServer:
    """Listens, and hands each message to `keep`.

    Parameters
    ----------
    hl7
        Its section of the configuration.
    keep
        Message and the peers it may come from → acknowledgment. Called in threads.
    """

    def __init__(self, hl7: Hl7, keep: Callable[[bytes, Sequence[Hl7Peer]], bytes]) -> None:
        self._hl7 = hl7
        self._keep = keep
        self._certificates = None if hl7.tls is None else Certificates(hl7.tls, time.monotonic)
        self._addresses = Addresses(time.monotonic)
        self._strangers = Strangers(time.monotonic)
        self._connections: set[_Connection] = set()
        self._keepers = ThreadPoolExecutor(KEEPERS, thread_name_prefix="mllp-keep")
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="mllp", daemon=True)
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        assert self._listener is not None  # noqa: S101 - asked only after start
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Listen, and serve in a thread of its own.

        Raises
        ------
        ConfigError
            If the port is taken, or the host is not an address of this machine.
        """
        host, port = self._hl7.host, self._hl7.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = socket.create_server(found[4], family=found[0], backlog=BACKLOG)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ConfigError(f"reports.hl7: cannot listen on {host}:{port}: {reason}") from error
        self._listener.setblocking(False)
        log.info("hl7.listening", host=host, port=self.port)
        self._thread.start()

    def stop(self) -> None:
        """Answer what is in hand, and hang up on everybody."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(STOP_WITHIN_S)
        self._keepers.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_log_fault)
        self._accepting = self._loop.create_task(self._accept())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._accepting)
        tasks = [each.task for each in self._connections if each.task is not None]
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for _ in range(ROUNDS_TO_HANG_UP):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _end(self) -> None:
        assert self._listener is not None  # noqa: S101 - called only after start
        assert self._accepting is not None  # noqa: S101 - likewise
        self._stopping = True
        self._accepting.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            if connection.is_answered:
                connection.close("the node stops")

    async def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - called only after start
        while True:
            try:
                accepted, address = await self._loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._make_room("no file descriptors left")
                    await asyncio.sleep(PAUSE_WITHOUT_DESCRIPTORS_S)
                continue
            self._admit(accepted, str(address[0]).removeprefix("::ffff:"))

    def _admit(self, accepted: socket.socket, address: str) -> None:
        connection = _Connection(accepted, address, Deframer(self._hl7.max_message_bytes))
        self._connections.add(connection)
        connection.task = self._loop.create_task(self._serve(connection))
        # Not at the end of the task: one that is cancelled before its turn never begins.
        connection.task.add_done_callback(lambda _task: self._forget(connection))
        if len(self._connections) > self._hl7.max_connections:
            self._make_room("too many connections (reports.hl7.max_connections)")

    def _make_room(self, reason: str) -> None:
        """Close the connection that has been silent for longest and is owed no answer."""
        idle = [each for each in self._connections if each.is_answered and not each.reason]
        if idle:
            min(idle, key=lambda each: each.silent_since).close(reason)

    async def _serve(self, connection: _Connection) -> None:
        try:
            peers = await self._peers_at(connection.address)
            if not peers:
                connection.reason = "the host is not in reports.hl7.accept_from"
                return
            await self._talk(connection, peers, await self._open(connection))
        except TimeoutError:
            connection.reason = connection.reason or "too slow"
        except (ProtocolError, OSError) as error:
            connection.reason = str(error) if isinstance(error, ProtocolError) else _why(error)
        except Exception:  # one connection must not end the others
            log.exception("hl7.failed", address=connection.address)

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if connection.transport is None:
            connection.accepted.close()
        else:
            connection.transport.abort()
        if connection.reason and self._strangers.answer(connection.address):
            log.warning("hl7.broken_off", address=connection.address, reason=connection.reason)

    async def _peers_at(self, address: str) -> list[Hl7Peer]:
        """Peers that this address may be; a host name is looked up in a thread."""

        def look_up() -> list[Hl7Peer]:
            return [p for p in self._hl7.accept_from if address in self._addresses.of(p.host)]

        async with asyncio.timeout(self._hl7.message_timeout_s):
            return await self._loop.run_in_executor(None, look_up)

    async def _open(self, connection: _Connection) -> Stream:
        connection.accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        secured: dict[str, Any] = {}
        if self._certificates is not None:
            secured = {
                "ssl": self._certificates.current(),
                "ssl_handshake_timeout": self._hl7.message_timeout_s,
            }
        connection.transport, stream = await self._loop.connect_accepted_socket(
            Stream, connection.accepted, **secured
        )
        return stream

    async def _talk(
        self, connection: _Connection, peers: Sequence[Hl7Peer], stream: Stream
    ) -> None:
        while data := await self._read(connection, stream):
            connection.silent_since = time.monotonic()
            for message in connection.deframer.feed(data):
                connection.begun_at = None
                connection.is_answered = False
                answer = await self._loop.run_in_executor(self._keepers, self._keep, message, peers)
                async with asyncio.timeout(self._hl7.message_timeout_s):
                    await stream.write(framed(answer))
                connection.is_answered = True
                if self._stopping:
                    return
            if not connection.deframer.in_block:
                connection.begun_at = None
            elif connection.begun_at is None:
                connection.begun_at = time.monotonic()
            self._limit_held_bytes()
        if connection.deframer.in_block:
            connection.reason = "the caller hung up in the middle of a message"

    async def _read(self, connection: _Connection, stream: Stream) -> bytes:
        # Not wait_for: in Python 3.11 it loses a cancellation that comes with the result.
        async with asyncio.timeout(self._patience(connection)):
            return await stream.read()

    def _patience(self, connection: _Connection) -> float:
        """Seconds that the next bytes may take: the message has one deadline, not each byte."""
        if connection.begun_at is None:
            return self._hl7.idle_timeout_s
        waited_s = time.monotonic() - connection.begun_at
        return max(self._hl7.message_timeout_s - waited_s, 0.001)

    def _limit_held_bytes(self) -> None:
        staying = [each for each in self._connections if not each.reason]
        held = sum(each.deframer.held_bytes for each in staying)
        while held > HELD_MESSAGES * self._hl7.max_message_bytes:
            largest = max(staying, key=lambda each: each.deframer.held_bytes)
            staying.remove(largest)
            held -= largest.deframer.held_bytes
            largest.close("too many bytes of unfinished messages")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    return error.strerror or type(error).__name__


def _log_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log.error("hl7.failed", address="", exc_info=error)
