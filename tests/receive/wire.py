"""A sender that speaks in bytes: every PDU, every fragment and every cut is the test's choice."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from node.dimse import APPLICATION_CONTEXT, VERIFICATION

RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_RP = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT_RQ = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"
CT, ECHO = 1, 3
"""Context IDs of `associate_request`'s default proposal."""
SOP_INSTANCE_UID = "1.2.826.0.1.3680043.8.498.1"


class Pdv(NamedTuple):
    """One presentation data value."""

    context_id: int
    flags: int
    data: bytes

    def encode(self) -> bytes:
        """Encode as an item of a P-DATA-TF (PS3.8 Section 9.3.5.1)."""
        return struct.pack(">IBB", len(self.data) + 2, self.context_id, self.flags) + self.data


def pdata(*values: Pdv) -> bytes:
    """Encode a P-DATA-TF."""
    body = b"".join(value.encode() for value in values)
    return struct.pack(">BxI", 4, len(body)) + body


def command(data: bytes, context_id: int = CT) -> Pdv:
    """A whole command set."""
    return Pdv(context_id, 3, data)


def data_set(data: bytes, context_id: int = CT) -> Pdv:
    """A whole data set."""
    return Pdv(context_id, 2, data)


def element(number: int, value: bytes, padding: bytes = b"\0") -> bytes:
    """One element of a command set (PS3.7 Section 6.3.1)."""
    value += padding * (len(value) % 2)
    return struct.pack("<HHI", 0, number, len(value)) + value


def command_set(*elements: bytes) -> bytes:
    """A command set with its group length."""
    body = b"".join(elements)
    return element(0, struct.pack("<I", len(body))) + body


def store_request(
    message_id: int = 1,
    sop_instance_uid: str = SOP_INSTANCE_UID,
    sop_class_uid: str = CTImageStorage,
) -> bytes:
    """The command set of a C-STORE-RQ (PS3.7 Section 9.3.1.1)."""
    return command_set(
        element(0x0002, sop_class_uid.encode()),
        element(0x0100, b"\x01\x00"),
        element(0x0110, struct.pack("<H", message_id)),
        element(0x0700, b"\x00\x00"),
        element(0x0800, b"\x01\x00"),
        element(0x1000, sop_instance_uid.encode("latin-1")),
    )


def echo_request(message_id: int = 1) -> bytes:
    """The command set of a C-ECHO-RQ (PS3.7 Section 9.3.5.1)."""
    return command_set(
        element(0x0002, VERIFICATION.encode()),
        element(0x0100, b"\x30\x00"),
        element(0x0110, struct.pack("<H", message_id)),
        element(0x0800, b"\x01\x01"),
    )


def associate_request(
    proposals: Sequence[tuple[str, Sequence[str]]] = (
        (CTImageStorage, (ExplicitVRLittleEndian,)),
        (VERIFICATION, (ExplicitVRLittleEndian,)),
    ),
    *,
    calling: str = "CT1",
    called: str = "WETREAD",
) -> bytes:
    """An A-ASSOCIATE-RQ as pynetdicom encodes it; context IDs are 1, 3, 5 and so on."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = calling
    primitive.called_ae_title = called
    contexts = []
    for number, (sop_class_uid, syntaxes) in enumerate(proposals):
        context = build_context(UID(sop_class_uid), list(syntaxes))
        context.context_id = 2 * number + 1
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [length, implementation]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    return request.encode()


class Wire:
    """A TCP connection to the door, and the PDUs that come back."""

    def __init__(self, port: int, timeout_s: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        """Send bytes, in one piece or cut at some offsets."""
        edges = [0, *sorted(set(cuts)), len(data)]
        for start, end in pairwise(edges):
            self.socket.sendall(data[start:end])

    def read_pdu(self) -> bytes:
        """Read one PDU; empty when the connection is closed."""
        header = self._read(6)
        if len(header) < 6:
            return b""
        return header + self._read(struct.unpack(">BxI", header)[1])

    def associate(self, request: bytes | None = None) -> A_ASSOCIATE_AC:
        """Open an association and return what was accepted."""
        self.send(request or associate_request())
        answer = self.read_pdu()
        assert answer[:1] == b"\x02", answer[:10]
        accept = A_ASSOCIATE_AC()
        accept.decode(answer)
        return accept

    def answers_until_closed(self) -> list[bytes]:
        """Everything that still comes."""
        answers = []
        with suppress(ConnectionResetError):
            while pdu := self.read_pdu():
                answers.append(pdu)
        return answers

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return bytes(data)


def status_of(response: bytes) -> int:
    """The status of a response in a P-DATA-TF (PS3.7 Section E.1)."""
    elements = elements_of(response)
    return int(struct.unpack("<H", elements[0x0900])[0])


def elements_of(response: bytes) -> dict[int, bytes]:
    """Element → value of the command set in a P-DATA-TF with one value."""
    assert response[:1] == b"\x04", response[:10]
    found, at = {}, 12
    while at < len(response):
        number, length = struct.unpack_from("<2xHI", response, at)
        found[number] = response[at + 8 : at + 8 + length]
        at += 8 + length
    return found
