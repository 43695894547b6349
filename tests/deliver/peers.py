"""Peers of other makers, and peers that misbehave, each on a port of its own."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from pathlib import Path

from pynetdicom.pdu import A_ASSOCIATE_RQ

from node.config.destination import DimseDestination
from tests.builders.network import wait_until
from tests.builders.tools import need


def destination(port: int, **difference: object) -> DimseDestination:
    """A destination on loopback."""
    plain = {"ae_title": "MAINPACS", "host": "127.0.0.1", "port": port, "timeout_s": 5}
    return DimseDestination.model_validate({**plain, **difference})


def dcmtk(name: str) -> str:
    """One of DCMTK's programs; pynetdicom puts scripts of the same names on the PATH."""
    for place in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=place)
        if found and not Path(found).read_bytes().startswith(b"#!"):
            return found
    need(f"DCMTK's {name} is not installed (make test-deps)")
    raise AssertionError("need ends the test")


@contextmanager
def storescp(
    folder: Path, port: int, *options: str, nodelay: bool = False, max_pdu_bytes: int = 16384
) -> Iterator[DimseDestination]:
    """DCMTK's storage SCP, which keeps every data set bit by bit as it came.

    Without `nodelay` it is as Debian starts it: Nagle's algorithm on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}
    if nodelay:
        env["TCP_NODELAY"] = "1"
    command = [
        dcmtk("storescp"),
        "-aet",
        "MAINPACS",
        "-od",
        str(folder),
        "-pdu",
        str(max_pdu_bytes),
    ]
    process = subprocess.Popen(
        [*command, "+xa", "+B", *options, str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: listens(port), within_s=20, what="storescp")
        yield destination(port)
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Raw:
    """One connection to a peer made by hand, which does only what a test tells it to."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def pdu(self) -> tuple[int, bytes]:
        """Read one PDU; EOFError where there is none any more."""
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(length)

    def send(self, kind: int, body: bytes = bytes(4)) -> None:
        """Send one PDU."""
        self.connection.sendall(struct.pack(">BxI", kind, len(body)) + body)

    def accept(self, max_pdu_bytes: int = 16384) -> None:
        """Read the association request and accept all of it."""
        kind, body = self.pdu()
        request = A_ASSOCIATE_RQ()
        request.decode(struct.pack(">BxI", kind, len(body)) + body)
        items = _item(0x10, b"1.2.840.10008.3.1.1.1")
        for context in request.presentation_context:
            syntax = _item(0x40, context.transfer_syntax[0].encode())
            items += _item(0x21, bytes([context.context_id, 0, 0, 0]) + syntax)
        items += _item(0x50, _item(0x51, struct.pack(">I", max_pdu_bytes)) + _item(0x52, b"1.2.3"))
        self.send(0x02, body[:68] + items)

    def message(self) -> bytes:
        """Read one message with a data set, and return its command set."""
        command, last = b"", 0
        while last != 0x02:
            kind, body = self.pdu()
            if kind != 0x04:
                raise EOFError
            length, _context_id, last = struct.unpack_from(">IBB", body)
            if last & 0x01:
                command += body[6 : 4 + length]
        return command

    def answer(self, status: int, message_id: int, *, pieces: int = 1) -> None:
        """Send a C-STORE-RSP."""
        fields = ((0x0100, 0x8001), (0x0120, message_id), (0x0800, 0x0101), (0x0900, status))
        command = b"".join(struct.pack("<HHIH", 0, element, 2, v) for element, v in fields)
        size = -(-len(command) // pieces)
        for start in range(0, len(command), size):
            piece = command[start : start + size]
            control = 0x01 | (0x02 if start + size >= len(command) else 0)
            self.send(0x04, struct.pack(">IBB", len(piece) + 2, 1, control) + piece)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self.connection.recv(count - len(found))
            if not piece:
                raise EOFError
            found += piece
        return found


@contextmanager
def raw_peer(behave: Callable[[Raw], None]) -> Iterator[int]:
    """A listener that gives each connection to a function, and closes it after that."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError, EOFError):
            behave(Raw(connection))

    def listen() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        listening = threading.Thread(target=listen)
        listening.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stop.set()
            listening.join(10)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


def after_the_message(behave: Callable[[Raw], None]) -> AbstractContextManager[int]:
    """A peer that takes the association and one whole message, and then behaves like this."""

    def run(raw: Raw) -> None:
        raw.accept()
        raw.message()
        behave(raw)
        until_the_end(raw)

    return raw_peer(run)


def until_the_end(raw: Raw) -> None:
    """Read and say nothing."""
    while raw.connection.recv(65536):
        pass


def drip(raw: Raw, message: bytes) -> None:
    """Send a byte every tenth of a second until the other side has had enough."""
    pause = threading.Event()
    for byte in message:
        raw.connection.sendall(bytes([byte]))
        pause.wait(0.1)


class Silence(Enum):
    """How a peer does not make an association, or not use it."""

    AFTER_CONNECT = "nothing after the connection"
    AFTER_ASSOCIATION = "nothing after the association"
    DRIPPING = "a byte now and then"
    HUGE = "a PDU of 1.5 GB"
    HTTP = "another protocol"
    ABORTING = "an abort"
    CLOSING = "an end"


def _behave(silence: Silence, raw: Raw) -> None:
    if silence is Silence.AFTER_ASSOCIATION:
        raw.accept()
    elif silence is not Silence.AFTER_CONNECT:
        raw.pdu()
    match silence:
        case Silence.DRIPPING:
            drip(raw, struct.pack(">BxI", 0x02, 300) + bytes(300))
        case Silence.HUGE:
            raw.connection.sendall(struct.pack(">BxI", 0x02, 1_500_000_000))
        case Silence.HTTP:
            raw.connection.sendall(b"HTTP/1.1 400 Bad Request")
        case Silence.ABORTING:
            raw.send(0x07)
        case Silence.CLOSING:
            return
    until_the_end(raw)


@contextmanager
def silent_peer(silence: Silence) -> Iterator[int]:
    """A peer that says nothing, or nothing of use; gives its port."""
    with raw_peer(lambda raw: _behave(silence, raw)) as port:
        yield port


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body
