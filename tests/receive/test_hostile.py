"""Callers that break the rules, on purpose or not: the others are served all the same."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from node.config.model import Peer
from node.receive.scp import StorageScp
from tests.builders.network import wait_until
from tests.receive.door import receive
from tests.receive.recording import Recording
from tests.receive.wire import (
    CT,
    ECHO,
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

PATIENCE_S = 1.0
"""Timeouts of the door in these tests."""


class Door:
    """A door with short timeouts that keeps in memory."""

    def __init__(self, **difference: object) -> None:
        self.recording = Recording()
        timeouts = {"network_timeout_s": PATIENCE_S, "acse_timeout_s": PATIENCE_S}
        self.scp = StorageScp(receive(**{**timeouts, **difference}), self.recording)
        self.scp.start()
        self.port = self.scp.port

    def wire(self) -> Wire:
        """A connection to it."""
        return Wire(self.port)

    def serves(self) -> bool:
        """Whether a well-behaved peer gets its C-ECHO answered."""
        with self.wire() as wire:
            wire.associate()
            wire.send(pdata(command(echo_request(), ECHO)))
            return status_of(wire.read_pdu()) == 0x0000


@contextmanager
def opened(**difference: object):
    """A door for the length of a block."""
    door = Door(**difference)
    try:
        yield door
    finally:
        door.scp.stop()


@pytest.fixture
def door():
    with opened() as one:
        yield one


def is_closed_within(wire: Wire, seconds: float) -> bool:
    """Whether the door hangs up in time, however it says so."""
    wire.socket.settimeout(seconds)
    try:
        wire.answers_until_closed()
    except TimeoutError:
        return False
    return True


STALLS = {
    "nothing": b"",
    "three bytes of the first PDU": b"\x01\x00\x00",
    "half an association request": associate_request()[:80],
}


def test_what_has_come_whole_is_kept_although_its_sender_is_gone_before_the_answer(door):
    door.recording.may_finish.clear()
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request())) + pdata(data_set(b"\x08\x00" * 8)))
        wait_until(door.recording.whole.is_set, within_s=20, what="the data set")
        # Closed like this the connection is reset, and the answer cannot be sent.
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    door.recording.may_finish.set()
    wait_until(lambda: door.recording.handed_over == 1, within_s=20, what="the index")

    assert door.recording.discarded == 0
    assert door.serves()


@pytest.mark.parametrize("beginning", STALLS.values(), ids=STALLS.keys())
def test_a_caller_that_falls_silent_before_its_association_is_closed(door, beginning):
    with door.wire() as wire:
        wire.send(beginning)
        assert is_closed_within(wire, 10 * PATIENCE_S)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\x04\x00\x00",
        pdata(command(store_request())),
        pdata(command(store_request())) + pdata(data_set(bytes(1000)))[:500],
    ],
    ids=["nothing", "half a header", "a command only", "half a P-DATA-TF"],
)
def test_a_peer_that_falls_silent_in_its_association_is_aborted(door, beginning):
    with door.wire() as wire:
        wire.associate()
        wire.send(beginning)
        assert is_closed_within(wire, 10 * PATIENCE_S)
    assert door.recording.kept == []


def drip(wire: Wire, stream: bytes, seconds: float) -> bool:
    """Send one byte every now and then; True when the door has hung up before the end."""
    wire.socket.settimeout(seconds / 20)
    for value in stream:
        try:
            wire.socket.sendall(bytes([value]))
            if wire.socket.recv(4096) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize(
    ("associated", "stream"),
    [
        (False, associate_request()),
        (True, pdata(command(store_request())) + pdata(data_set(bytes(1000)))),
    ],
    ids=["association request", "P-DATA-TF"],
)
def test_one_byte_at_a_time_for_ever_runs_into_the_deadline_of_the_pdu(door, associated, stream):
    with door.wire() as wire:
        if associated:
            wire.associate()
        assert drip(wire, stream, PATIENCE_S)


def test_many_small_pdus_for_ever_run_into_the_deadline_of_the_message(door):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request())))
        stop_at = time.monotonic() + 20 * PATIENCE_S
        with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012 - until it happens
            while time.monotonic() < stop_at:
                wire.send(pdata(Pdv(CT, 0, b"x")))
                threading.Event().wait(PATIENCE_S / 10)


def test_ten_stalled_peers_keep_nobody_out(door):
    with ExitStack() as stack:
        for number in range(10):
            wire = stack.enter_context(door.wire())
            if number % 2:
                wire.send(b"\x01\x00\x00")
            else:
                wire.associate()
                wire.send(pdata(command(store_request())) + b"\x04\x00\x00")
        assert door.serves()


@pytest.mark.parametrize("associated", [False, True], ids=["before", "in the association"])
def test_a_declared_length_of_a_gigabyte_is_cut_off_at_once(associated):
    with opened(network_timeout_s=60, acse_timeout_s=60) as door:
        before = psutil.Process().memory_info().rss
        with door.wire() as wire:
            if associated:
                wire.associate()
            wire.send(struct.pack(">BxI", 4 if associated else 1, 1_500_000_000))
            answers = wire.answers_until_closed()
        assert [answer[:1] for answer in answers] == [b"\x07"]
        assert psutil.Process().memory_info().rss - before < 50 * 2**20


@pytest.mark.parametrize(
    "uid",
    ["../../evil", "/etc/passwd", "", "1." * 39 + "12", "1.2.abc", "1.2.3\\4", "1.2.é", "\0\0"],
    ids=["path up", "absolute path", "empty", "80 characters", "letters", "backslash", "é", "NUL"],
)
def test_every_request_gets_an_answer_whatever_its_uid(door, uid):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request(9, uid)), data_set(b"x" * 100)))
        response = elements_of(wire.read_pdu())
        assert response[0x0120] == b"\x09\x00"
        wire.send(pdata(command(echo_request(), ECHO)))
        assert status_of(wire.read_pdu()) == 0x0000


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (store_request(sop_class_uid="1.2.840.10008.5.1.4.1.1.4"), 0x0122),
        (
            command_set(
                element(0x0100, b"\x20\x00"),
                element(0x0110, b"\x01\x00"),
                element(0x0800, b"\x00\x00"),
            ),
            0x0211,
        ),
    ],
    ids=["another SOP class than the context's", "C-FIND"],
)
def test_what_was_not_negotiated_is_answered_with_its_status(door, request_, status):
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(request_), data_set(b"x" * 100)))
        assert status_of(wire.read_pdu()) == status
        assert door.recording.kept == []


def test_a_store_request_without_a_data_set_is_answered(door):
    request = store_request().replace(element(0x0800, b"\x01\x00"), element(0x0800, b"\x01\x01"))
    with door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(request)))
        assert status_of(wire.read_pdu()) == 0xC002


def test_a_data_set_that_goes_on_beyond_twice_the_limit_is_aborted():
    limit = 1 << 20
    with opened(max_object_bytes=limit) as door, door.wire() as wire:
        wire.associate()
        wire.send(pdata(command(store_request())))
        with suppress(ConnectionError):
            for _ in range(2 * limit // 100_000 + 1):
                wire.send(pdata(Pdv(CT, 0, bytes(100_000))))
        assert wire.answers_until_closed() == [struct.pack(">BxIxxBB", 7, 4, 2, 0)]
        assert door.serves()


def test_another_application_context_than_dicoms_is_rejected(door):
    request = associate_request().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2")
    with door.wire() as wire:
        wire.send(request)
        assert wire.read_pdu() == struct.pack(">BxIxBBB", 3, 4, 1, 1, 2)


def test_a_flood_of_strangers_is_answered_for_a_while_and_known_peers_always(door):
    answers = []
    for _ in range(60):
        with door.wire() as wire:
            wire.send(associate_request(calling="STRANGER"))
            answers.append(wire.read_pdu()[:1])
    assert answers[0] == b"\x03"
    assert answers[-1] == b""
    assert door.serves()


def test_a_rejected_caller_that_goes_on_sending_keeps_nobody_out(door):
    stop = threading.Event()

    def flood(wire: Wire) -> None:
        with suppress(OSError):
            while not stop.is_set():
                wire.socket.sendall(bytes(65536))

    with ExitStack() as stack:
        senders = []
        for _ in range(3):
            wire = stack.enter_context(door.wire())
            wire.send(associate_request(calling="STRANGER"))
            senders.append(threading.Thread(target=flood, args=(wire,)))
            senders[-1].start()
        assert door.serves()
        stop.set()
        for sender in senders:
            sender.join()


def test_thousands_of_half_open_callers_keep_nobody_out():
    with opened(acse_timeout_s=60) as door, ExitStack() as stack:
        threads = threading.active_count()
        for _ in range(2000):
            wire = stack.enter_context(door.wire())
            wire.send(b"\x01\x00\x00")
        assert threading.active_count() <= threads
        assert door.serves()


def test_a_door_without_descriptors_drops_the_oldest_caller_and_serves_the_next(tmp_path):
    """In a process of its own, whose limit of descriptors is nearly used up."""
    script = tmp_path / "crowded.py"
    script.write_text(
        "import os, resource, sys\n"
        "from tests.receive.test_hostile import Door\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8000, 8000))\n"
        "door = Door(acse_timeout_s=60)\n"
        "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(1100)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (kept[-1] + 20, 8000))\n"
        "print('port', door.port, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("port "))
        port = int(said.removeprefix("port "))
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(Wire(port)).send(b"\x01\x00")
            with Wire(port) as wire:
                wire.associate()
    finally:
        process.communicate()


def test_more_callers_than_the_limit_of_a_peer_are_rejected_as_transient():
    peers = (Peer(ae_title="CT1", max_associations=2), Peer(ae_title="CT2"))
    with opened(accept_from=peers) as door, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(door.wire()).associate()
        refused = stack.enter_context(door.wire())
        refused.send(associate_request())
        assert refused.read_pdu() == struct.pack(">BxIxBBB", 3, 4, 2, 3, 2)
        stack.enter_context(door.wire()).associate(associate_request(calling="CT2"))


def test_a_place_is_free_again_when_its_peer_has_gone():
    def is_accepted() -> bool:
        with door.wire() as wire:
            wire.send(associate_request())
            return wire.read_pdu()[:1] == b"\x02"

    with opened(max_associations=1) as door:
        for _ in range(5):
            wait_until(is_accepted, within_s=10, what="a free place")


def test_fifty_idle_associations_cost_no_processor_time():
    with opened(network_timeout_s=60, max_associations=60) as door, ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(door.wire()).associate()
        before = time.process_time()
        threading.Event().wait(1.0)
        assert time.process_time() - before < 0.1


def test_stopping_lets_the_data_set_under_way_be_answered():
    with opened(network_timeout_s=30) as door, door.wire() as busy, door.wire() as idle:
        busy.associate()
        idle.associate()
        busy.send(pdata(command(store_request())) + pdata(Pdv(CT, 0, b"x" * 100)))
        assert door.recording.begun.wait(10)
        stopping = threading.Thread(target=door.scp.stop)
        stopping.start()
        assert idle.read_pdu()[:1] == b"\x07"
        busy.send(pdata(Pdv(CT, 2, b"x" * 100)))
        assert status_of(busy.read_pdu()) == 0x0000
        assert busy.read_pdu()[:1] == b"\x07"
        stopping.join()
    assert len(door.recording.kept) == 1


def test_callers_that_came_and_went_do_not_keep_it_from_stopping():
    with opened() as door:
        for said in (b"", b"\x01\x00", associate_request()):
            with door.wire() as wire:
                wire.send(said)
        stopping = threading.Thread(target=door.scp.stop, daemon=True)
        stopping.start()
        stopping.join(10)
        assert not stopping.is_alive()
