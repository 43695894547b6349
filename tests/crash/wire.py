"""A storage SCU on a bare socket: it costs its sender little, and can break off anywhere."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, build_context
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from tests.crash.objects import Sent

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
ASSOCIATE_AC, P_DATA, RELEASE_RQ = 0x02, 0x04, 0x05
COMMAND, LAST = 0x01, 0x02
LONGEST_PDU = 16384


class Broken(OSError):  # noqa: N818 - what a sender finds, not a fault of it
    """The association ended before the response came."""


class Association:
    """An association that proposes what some objects need.

    Raises
    ------
    OSError
        If there is no connection, or the association is rejected.
    """

    def __init__(
        self,
        port: int,
        objects: Iterable[Sent],
        *,
        calling: str = "CT1",
        called: str = "WETREAD",
        timeout_s: float = 20.0,
    ) -> None:
        self._message_id = 0
        pairs = sorted({(o.sop_class_uid, o.transfer_syntax_uid) for o in objects})
        self._context = {pair: 2 * number + 1 for number, pair in enumerate(pairs)}
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(_request(self._context, calling, called))
            self._accept(*self._read_pdu())
        except BaseException:
            self._socket.close()
            raise

    def _accept(self, kind: int, answer: bytes) -> None:
        if kind != ASSOCIATE_AC:
            raise Broken(f"no association: PDU type {kind}")
        pdu = A_ASSOCIATE_AC()
        pdu.decode(answer)
        results = pdu.to_primitive().presentation_context_definition_results_list
        refused = [each.context_id for each in results if each.result != 0]
        assert not refused, f"presentation contexts {refused} refused"

    def store(self, sent: Sent) -> int:
        """C-STORE, and return the status.

        Raises
        ------
        OSError
            If the association broke before the response came: the object may be there, or not.
        """
        self._socket.sendall(self.message(sent))
        kind, body = self._read_pdu()
        if kind != P_DATA:
            raise Broken(f"PDU type {kind} instead of a response")
        return _status(body[12:])

    def break_off(self, sent: Sent, after_bytes: int, *, reset: bool) -> None:
        """Send the beginning of a C-STORE, and close or reset the connection."""
        self._socket.sendall(self.message(sent)[:after_bytes])
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def message(self, sent: Sent) -> bytes:
        """Encode a whole C-STORE request: the command, then the data set in PDUs."""
        self._message_id = self._message_id % 65535 + 1
        context = self._context[sent.sop_class_uid, sent.transfer_syntax_uid]
        command = _command(sent, self._message_id)
        parts = [_p_data(context, COMMAND | LAST, command)]
        step = LONGEST_PDU - 6
        for start in range(0, len(sent.data_set), step):
            last = LAST if start + step >= len(sent.data_set) else 0
            parts.append(_p_data(context, last, sent.data_set[start : start + step]))
        return b"".join(parts)

    def _read_pdu(self) -> tuple[int, bytes]:
        head = self._read(6)
        return head[0], head + self._read(struct.unpack(">I", head[2:])[0])

    def _read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            chunk = self._socket.recv(count - len(got))
            if not chunk:
                raise Broken("the connection was closed")
            got += chunk
        return got

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None and self._socket.fileno() >= 0:
            try:
                self._socket.sendall(struct.pack(">BBII", RELEASE_RQ, 0, 4, 0))
                self._read_pdu()
            except OSError:
                self._socket.close()
        self._socket.close()


def _request(contexts: dict[tuple[str, str], int], calling: str, called: str) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    proposed = []
    for (sop_class, syntax), number in contexts.items():
        context = build_context(sop_class, syntax)
        context.context_id = number
        proposed.append(context)
    primitive.presentation_context_definition_list = proposed
    longest = MaximumLengthNotification()
    longest.maximum_length_received = LONGEST_PDU
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    primitive.user_information = [longest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def _p_data(context: int, header: int, fragment: bytes) -> bytes:
    length = len(fragment) + 2
    return struct.pack(">BBIIBB", P_DATA, 0, length + 4, length, context, header) + fragment


def _command(sent: Sent, message_id: int) -> bytes:
    """Encode a C-STORE-RQ command set (PS3.7 Section 9.3.1.1), implicit VR little endian."""
    elements = [
        (0x0002, _uid(sent.sop_class_uid)),
        (0x0100, struct.pack("<H", 0x0001)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0)),
        (0x1000, _uid(sent.sop_instance_uid)),
    ]
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def _status(command: bytes) -> int:
    position = 0
    while position + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHI", command, position)
        if (group, element) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", command, position + 8)[0])
        position += 8 + length
    raise Broken("a response without a status")
