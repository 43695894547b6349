"""What a receiver process takes of the machine, whatever is sent to it."""

from __future__ import annotations

import re
import resource
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.dimse import N_ACTION_RQ
from node.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from node.dimse.references import MOST_REFERENCES, encode_report
from tests.builders import ct_series
from tests.builders.network import store_all, wait_until
from tests.node.running import RunningNode
from tests.receive.wire import (
    CT,
    Pdv,
    Wire,
    associate_request,
    command,
    command_set,
    element,
    pdata,
    status_of,
    store_request,
)

pytestmark = pytest.mark.loopback

ADDRESS_SPACE = 1536 * 2**20
"""Virtual memory, most of it never touched: the interpreter, its libraries and stacks."""
RESIDENT_MB = 150
"""What the guarantees promise for a receiver at any load."""
BLOCK = bytes(131_000)
SUCCESS, INVALID_ARGUMENT_VALUE, RESOURCE_LIMITATION = 0x0000, 0x0115, 0x0213


@contextmanager
def receiver(folder: Path):
    """The receive role in a process that cannot have more memory than this."""
    node = RunningNode(folder, pacs_port=9)
    with node.log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "node", "run"),
                *("--config", str(node.config_file), "--role", "receive"),
            ],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)
            ),
        )
    try:
        wait_until(node.answers, within_s=60, what=f"the receiver ({node.log_file})")
        yield node.port, process.pid
        assert process.poll() is None, node.log_file.read_text()[-2000:]
    finally:
        process.terminate()
        process.wait(30)
        node.stores.close()


def largest_resident_mb(pid: int) -> float:
    """The most resident memory a process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def send_large(port: int, number: int, blocks: int) -> None:
    """One data set of many blocks that is no DICOM, over an association of its own."""
    with Wire(port, timeout_s=120) as wire:
        wire.associate()
        wire.send(pdata(command(store_request(1, f"1.2.3.{number}"))))
        for _ in range(blocks):
            wire.send(pdata(Pdv(CT, 0, BLOCK)))
        wire.send(pdata(Pdv(CT, 2, BLOCK)))
        assert status_of(wire.read_pdu()) == 0xC000


def send_bomb(port: int) -> None:
    """A deflated data set of 256 MiB of zeros, which is a quarter of one on the wire."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(squeezed.compress(bytes(2**20)) for _ in range(256)) + squeezed.flush()
    with Wire(port, timeout_s=120) as wire:
        wire.associate(associate_request([(CTImageStorage, (DeflatedExplicitVRLittleEndian,))]))
        wire.send(pdata(command(store_request())))
        for at in range(0, len(body), len(BLOCK)):
            wire.send(pdata(Pdv(CT, 0, body[at : at + len(BLOCK)])))
        wire.send(pdata(Pdv(CT, 2, b"")))
        assert status_of(wire.read_pdu()) == 0xC000


def test_a_receiver_keeps_to_its_memory_whatever_is_sent(tmp_path):
    with receiver(tmp_path) as (port, pid), ExitStack() as stack:
        for _ in range(300):
            half_open = stack.enter_context(Wire(port))
            with suppress(ConnectionError):
                half_open.send(b"\x01\x00\x00\x03\xff\xff" + BLOCK)
        for length in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"):
            stack.enter_context(Wire(port)).send(b"\x01\x00" + length)
            peer = stack.enter_context(Wire(port))
            peer.associate()
            peer.send(b"\x04\x00" + length)
        senders = [
            threading.Thread(target=send_large, args=(port, number, 100)) for number in range(10)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        send_bomb(port)

        assert store_all(port, ct_series(slices=3)) == [0x0000] * 3
        assert largest_resident_mb(pid) < RESIDENT_MB


def ask_to_commit(port: int, information: bytes, statuses: list[int]) -> None:
    """One request for storage commitment, over an association of its own."""
    request = command_set(
        element(0x0003, PUSH_MODEL.encode()),
        element(0x0100, struct.pack("<H", N_ACTION_RQ)),
        element(0x0110, b"\x01\x00"),
        element(0x0800, b"\x01\x00"),
        element(0x1001, PUSH_MODEL_INSTANCE.encode()),
        element(0x1008, b"\x01\x00"),
    )
    with Wire(port, timeout_s=120) as wire:
        wire.associate(associate_request([(PUSH_MODEL, (ImplicitVRLittleEndian,))]))
        wire.send(pdata(command(request)))
        for at in range(0, len(information), len(BLOCK)):
            wire.send(pdata(Pdv(CT, 0, information[at : at + len(BLOCK)])))
        wire.send(pdata(Pdv(CT, 2, b"")))
        statuses.append(status_of(wire.read_pdu()))
        if statuses[-1] == SUCCESS:
            assert wire.read_pdu()[:1] == b"\x04"


def test_a_receiver_keeps_to_its_memory_whatever_it_is_asked_to_commit_to(tmp_path):
    uids = [(CTImageStorage, f"1.2.826.0.1.3680043.8.498.{10**20 + n}") for n in range(10**5)]
    largest = encode_report("2.25.5", uids[:MOST_REFERENCES], {}, explicit=False)
    requests = {
        "largest": largest,
        "too many": encode_report("2.25.5", uids[: MOST_REFERENCES + 1], {}, explicit=False),
        "too long": encode_report("2.25.5", uids, {}, explicit=False),
        "tiny": b"".join(struct.pack("<HHI", 0x10, n & 0xFFFF, 0) for n in range(500_000)),
    }
    answers: dict[str, list[int]] = {name: [] for name in requests}
    with receiver(tmp_path) as (port, pid):
        for name, information in requests.items():
            peers = [
                threading.Thread(target=ask_to_commit, args=(port, information, answers[name]))
                for _ in range(10)
            ]
            for each in peers:
                each.start()
            for each in peers:
                each.join()

        assert store_all(port, ct_series(slices=3)) == [0x0000] * 3
        assert largest_resident_mb(pid) < RESIDENT_MB
    assert SUCCESS in answers["largest"]
    assert set(answers["largest"]) <= {SUCCESS, RESOURCE_LIMITATION}
    assert set(answers["too many"]) <= {INVALID_ARGUMENT_VALUE, RESOURCE_LIMITATION}
    assert set(answers["too long"]) == {RESOURCE_LIMITATION}
    assert set(answers["tiny"]) <= {INVALID_ARGUMENT_VALUE, RESOURCE_LIMITATION}
