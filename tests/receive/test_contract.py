"""The door and pynetdicom, held to the same words: one contract over both paths."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from node.dimse import VERIFICATION
from node.receive.scp import StorageScp
from tests.builders.network import wait_until
from tests.receive.door import receive
from tests.receive.recording import Recording
from tests.receive.reference import ReferenceScp
from tests.receive.wire import (
    ABORT_RQ,
    CT,
    ECHO,
    RELEASE_RP,
    RELEASE_RQ,
    SOP_INSTANCE_UID,
    Pdv,
    Wire,
    associate_request,
    command,
    command_set,
    data_set,
    echo_request,
    element,
    elements_of,
    pdata,
    status_of,
    store_request,
)

pytestmark = pytest.mark.loopback

BODY = bytes(range(256)) * 40


class Both:
    """One of the two doors, and what came in by it."""

    def __init__(self, kind: str) -> None:
        self.recording = Recording()
        configuration = receive(network_timeout_s=20, private_sop_classes=())
        scp = {"wetread": StorageScp, "pynetdicom": ReferenceScp}[kind]
        self.scp = scp(configuration, self.recording)
        self.scp.start()

    def wire(self) -> Wire:
        """A connection to it."""
        return Wire(self.scp.port)


@pytest.fixture(scope="module", params=["wetread", "pynetdicom"])
def running(request):
    door = Both(request.param)
    yield door
    door.scp.stop()


@pytest.fixture
def door(running):
    running.recording.kept.clear()
    return running


def store(fragments: list[bytes]) -> bytes:
    """The stream of one C-STORE: each item a P-DATA-TF."""
    return b"".join(fragments)


def stored(door: Both) -> list[bytes]:
    return [data for _, data in door.recording.kept]


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """Pieces of these sizes, and the rest."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


LEGAL = {
    "command and data set in a PDU each": [pdata(command(store_request())), pdata(data_set(BODY))],
    "both in one PDU": [pdata(command(store_request()), data_set(BODY))],
    "the command set over three PDUs": [
        *(pdata(Pdv(CT, 1, part)) for part in split(store_request(), [1, 60])[:-1]),
        pdata(Pdv(CT, 3, split(store_request(), [1, 60])[-1])),
        pdata(data_set(BODY)),
    ],
    "the data set in many PDUs": [
        pdata(command(store_request())),
        *(pdata(Pdv(CT, 0, BODY[at : at + 1000])) for at in range(0, 10000, 1000)),
        pdata(Pdv(CT, 2, BODY[10000:])),
    ],
    "several values in one PDU": [
        pdata(command(store_request())),
        pdata(Pdv(CT, 0, BODY[:7]), Pdv(CT, 0, BODY[7:5000]), Pdv(CT, 2, BODY[5000:])),
    ],
    "the end of the command and the beginning of the data set in one PDU": [
        pdata(Pdv(CT, 1, store_request()[:30])),
        pdata(Pdv(CT, 3, store_request()[30:]), Pdv(CT, 0, BODY[:30])),
        pdata(Pdv(CT, 2, BODY[30:])),
    ],
    "an empty last fragment": [
        pdata(command(store_request())),
        pdata(Pdv(CT, 0, BODY)),
        pdata(Pdv(CT, 2, b"")),
    ],
    "an empty fragment in the middle": [
        pdata(command(store_request())),
        pdata(Pdv(CT, 0, BODY[:10])),
        pdata(Pdv(CT, 0, b"")),
        pdata(Pdv(CT, 2, BODY[10:])),
    ],
    "fragments of odd length": [
        pdata(command(store_request())),
        pdata(Pdv(CT, 0, BODY[:3333])),
        pdata(Pdv(CT, 2, BODY[3333:])),
    ],
    "reserved bits in the message control header": [
        pdata(Pdv(CT, 0xFF, store_request())),
        pdata(Pdv(CT, 0xFC, BODY[:10])),
        pdata(Pdv(CT, 0xFE, BODY[10:])),
    ],
}


@pytest.mark.parametrize("stream", LEGAL.values(), ids=LEGAL.keys())
@pytest.mark.parametrize("cut", ["in one piece", "byte by byte", "at odd places"])
def test_every_legal_fragmentation_stores_the_same_bytes(door, stream, cut):
    whole = b"".join(stream)
    cuts = {
        "in one piece": (),
        "byte by byte": range(1, min(len(whole), 700)),
        "at odd places": range(5, len(whole), 1013),
    }[cut]
    with door.wire() as wire:
        wire.associate()
        wire.send(whole, cuts)
        response = wire.read_pdu()
        wire.send(RELEASE_RQ)
        assert wire.read_pdu() == RELEASE_RP

    assert stored(door) == [BODY]
    assert response == pdata(
        command(
            command_set(
                element(0x0002, CTImageStorage.encode()),
                element(0x0100, b"\x01\x80"),
                element(0x0120, b"\x01\x00"),
                element(0x0800, b"\x01\x01"),
                element(0x0900, b"\x00\x00"),
                element(0x1000, SOP_INSTANCE_UID.encode()),
            )
        )
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_fragmentation_and_any_cuts_store_the_same_bytes(door, data):
    body = data.draw(st.binary(min_size=1, max_size=3000))
    pieces = _pieces(data, store_request(), 1) + _pieces(data, body, 0)
    stream = b"".join(pdata(*group) for group in _groups(data, pieces))
    cuts = data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=20))
    door.recording.kept.clear()

    with door.wire() as wire:
        wire.associate()
        wire.send(stream, cuts)
        assert status_of(wire.read_pdu()) == 0x0000

    assert stored(door) == [body]


def _pieces(data: st.DataObject, content: bytes, flag: int) -> list[Pdv]:
    """Content cut anywhere, empty pieces included; the last one is marked as last."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    edges = [0, *cuts, len(content)]
    parts = [content[a:b] for a, b in pairwise(edges)]
    last = len(parts) - 1
    return [Pdv(CT, flag | (2 if i == last else 0), part) for i, part in enumerate(parts)]


def _groups(data: st.DataObject, values: list[Pdv]) -> list[list[Pdv]]:
    """The values in their order, some of them together in one PDU."""
    groups: list[list[Pdv]] = [[values[0]]]
    for value in values[1:]:
        if data.draw(st.booleans()):
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups


ILLEGAL = {
    "a second association request": associate_request(),
    "an association answer": b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01",
    "a release answer that nobody asked for": RELEASE_RP,
    "a value longer than its PDU": struct.pack(">BxIIBB", 4, 10, 5000, CT, 3) + b"abcd",
}
BREAKS_PYNETDICOM = {
    "a context that was not accepted": pdata(Pdv(99, 3, store_request())),
    "an unknown PDU": b"\x2a\x00\x00\x00\x00\x02ab",
    "a value that does not fill its PDU": struct.pack(">BxIIBB", 4, 9, 4, CT, 1) + b"abcde",
    "a PDU without a value": struct.pack(">BxI", 4, 0),
    "a PDU longer than negotiated": struct.pack(">BxI", 4, 2**20),
    "a release with a body": b"\x05\x00\x00\x00\x00\x08" + bytes(8),
    "a command set that is none": pdata(command(b"nonsense")),
    "a command set without its field": pdata(command(command_set(element(0x0110, b"\x01\x00")))),
    "an endless command set": b"".join([pdata(Pdv(CT, 1, bytes(100_000)))] * 3),
    "a data set without a command": pdata(data_set(BODY)),
    "a command in the middle of a data set": pdata(
        command(store_request()), Pdv(CT, 0, BODY), command(echo_request(), ECHO)
    ),
    "a data set in another context than its command": pdata(
        command(store_request()), data_set(BODY, ECHO)
    ),
}
"""What takes its threads down, hangs it or is let pass; the door is held to it alone."""


@pytest.mark.parametrize("stream", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_the_protocol_forbids_ends_the_association_and_only_that(door, stream):
    expect_abort(door, stream)


@pytest.mark.parametrize("running", ["wetread"], indirect=True)
@pytest.mark.parametrize("stream", BREAKS_PYNETDICOM.values(), ids=BREAKS_PYNETDICOM.keys())
def test_what_breaks_others_is_aborted_as_well(door, stream):
    expect_abort(door, stream)


def expect_abort(door: Both, stream: bytes) -> None:
    """The stream ends its association with an A-ABORT; the next one is served."""
    with door.wire() as wire:
        wire.associate()
        with suppress(ConnectionResetError, BrokenPipeError):
            wire.send(stream)
        assert [answer[:1] for answer in wire.answers_until_closed()] == [b"\x07"]

    assert stored(door) == []
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(echo_request(7), ECHO)))
        assert status_of(wire.read_pdu()) == 0x0000


def test_what_came_before_the_mistake_is_kept(door):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request())) + pdata(data_set(BODY)))
        assert status_of(wire.read_pdu()) == 0x0000
        wire.send(b"\x2a\x00\x00\x00\x00\x00")
        wire.answers_until_closed()

    assert stored(door) == [BODY]


@pytest.mark.parametrize("ending", [ABORT_RQ, b""], ids=["abort", "closed connection"])
def test_a_data_set_that_breaks_off_is_not_kept(door, ending):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request())) + pdata(Pdv(CT, 0, BODY)) + ending)

    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(echo_request(), ECHO)))
        wire.read_pdu()
    assert stored(door) == []


def test_many_messages_of_one_association_are_answered_in_order(door):
    with door.wire() as wire:
        wire.associate()
        for number in range(1, 30):
            uid = f"1.2.3.{number}"
            wire.send(pdata(command(store_request(number, uid))) + pdata(data_set(BODY)))
            response = elements_of(wire.read_pdu())
            assert response[0x0120] == struct.pack("<H", number)
            assert response[0x1000].rstrip(b"\0") == uid.encode()
            wire.send(pdata(command(echo_request(number), ECHO)))
            assert elements_of(wire.read_pdu())[0x0100] == b"\x30\x80"

    assert [request.sop_instance_uid for request, _ in door.recording.kept] == [
        f"1.2.3.{number}" for number in range(1, 30)
    ]


def test_the_echo_response_is_pynetdicoms(door):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(echo_request(5), ECHO)))
        assert wire.read_pdu() == pdata(
            command(
                command_set(
                    element(0x0002, VERIFICATION.encode()),
                    element(0x0100, b"\x30\x80"),
                    element(0x0120, b"\x05\x00"),
                    element(0x0800, b"\x01\x01"),
                    element(0x0900, b"\x00\x00"),
                ),
                ECHO,
            )
        )


@pytest.mark.parametrize(
    "proposals",
    [
        [(CTImageStorage, (ExplicitVRLittleEndian,))],
        [(CTImageStorage, (ImplicitVRLittleEndian, ExplicitVRLittleEndian))],
        [(CTImageStorage, (JPEG2000Lossless,)), (CTImageStorage, (ImplicitVRLittleEndian,))],
        [(MRImageStorage, ("1.2.3.4",)), ("1.2.3.4.5", (ImplicitVRLittleEndian,))],
        [(VERIFICATION, (ImplicitVRLittleEndian,))],
        [
            (c.abstract_syntax, tuple(ALL_TRANSFER_SYNTAXES[:20]))
            for c in AllStoragePresentationContexts[:120]
        ],
    ],
    ids=["one", "two syntaxes", "one class twice", "unknown ones", "verification", "120 classes"],
)
def test_both_answer_a_proposal_with_the_same_bytes(proposals):
    request = associate_request(proposals)
    answers = []
    for kind in ("wetread", "pynetdicom"):
        door = Both(kind)
        try:
            for _ in range(2):  # the second time it is remembered
                with door.wire() as wire:
                    wire.send(request)
                    answers.append(wire.read_pdu())
        finally:
            door.scp.stop()

    assert answers[0][:1] == b"\x02"
    assert len(set(answers)) == 1


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (associate_request(called="SOMEBODY"), (1, 1, 7)),
        (associate_request(calling="STRANGER"), (1, 1, 3)),
        (b"\x01\x00" + associate_request()[2:6] + b"\x00\x02" + associate_request()[8:], (1, 2, 2)),
    ],
    ids=["called AE title", "calling AE title", "protocol version"],
)
def test_a_request_that_is_not_welcome_is_rejected_with_its_reason(door, request_, expected):
    with door.wire() as wire:
        wire.send(request_)
        assert wire.read_pdu() == struct.pack(">BxIxBBB", 3, 4, *expected)


def test_a_release_in_the_middle_of_nothing_is_answered(door):
    with door.wire() as wire:
        wire.associate()
        wire.send(RELEASE_RQ)
        assert wire.read_pdu() == RELEASE_RP
        wait_until(lambda: wire.socket.recv(1) == b"", within_s=20, what="closed")
