"""Archives that hang, drip or lie when they are asked what they hold: each question ends."""

from __future__ import annotations

import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from node.deliver.commitment import request_commitments
from node.deliver.query import held
from node.dimse import IS_COMMAND, IS_LAST
from node.dimse.command_set import element, encode, us
from node.errors import TransientError
from tests.deliver.peers import Silence, after_the_message, destination, drip, silent_peer

pytestmark = pytest.mark.loopback

TIMEOUT_S = 0.5
ENDS_WITHIN_S = 20
"""Where nothing limits it, it never ends."""


def query(port):
    return held(destination(port, timeout_s=TIMEOUT_S), "WETREAD", "1.2.3", ["1.2.3.4"])


def commitment(port):
    request_commitments(
        destination(port, timeout_s=TIMEOUT_S),
        "WETREAD",
        {"2.25.5": [("1.2.840.10008.5.1.4.1.1.2", "1.2.3")]},
        taken=lambda _uid: None,
        report=lambda _report: True,
    )


def ends(question, port):
    """Ask in a thread of its own; the error it ends with."""
    pool = ThreadPoolExecutor(1)
    asked = pool.submit(question, port)
    pool.shutdown(wait=False)
    return asked.exception(ENDS_WITHIN_S)


@pytest.mark.parametrize("question", [query, commitment])
@pytest.mark.parametrize("silence", Silence)
def test_an_archive_of_no_use_ends_the_question(question, silence):
    with silent_peer(silence) as port:
        assert isinstance(ends(question, port), TransientError)


def pdv(content, control):
    return struct.pack(">IBB", len(content) + 2, 1, control) + content


PENDING = pdv(
    encode(us(0x0100, 0x8020), us(0x0120, 1), us(0x0800, 0x0001), us(0x0900, 0xFF00)),
    IS_COMMAND | IS_LAST,
)


@pytest.mark.parametrize("question", [query, commitment])
@pytest.mark.parametrize(
    "behave",
    [
        lambda raw: raw.connection.sendall(b"\x04\x00\x00"),
        lambda raw: raw.connection.sendall(struct.pack(">BxI", 4, 200) + bytes(40)),
        lambda raw: drip(raw, struct.pack(">BxI", 4, 200) + bytes(200)),
        lambda raw: raw.send(7),
        lambda raw: raw.connection.close(),
    ],
    ids=["half a header", "half a PDU", "a byte now and then", "abort", "end"],
)
def test_an_archive_that_breaks_off_in_its_answer_ends_the_question(question, behave):
    with after_the_message(behave) as port:
        assert isinstance(ends(question, port), TransientError)


@pytest.mark.parametrize("question", [query, commitment])
def test_an_archive_that_announces_a_gigabyte_gets_no_memory_for_it(question):
    def announce(raw):
        raw.connection.sendall(struct.pack(">BxI", 4, 1_500_000_000))
        block = bytes(2**20)
        for _ in range(300):
            raw.connection.sendall(block)

    before = psutil.Process().memory_info().rss
    with after_the_message(announce) as port:
        assert isinstance(ends(question, port), TransientError)
    assert psutil.Process().memory_info().rss - before < 100 * 2**20


@pytest.mark.parametrize("question", [query, commitment])
def test_an_answer_that_never_ends_is_cut_off(question):
    def endless(raw):
        fragment = pdv(bytes(16000), IS_COMMAND)
        while True:
            raw.send(4, fragment)

    before = psutil.Process().memory_info().rss
    with after_the_message(endless) as port:
        assert isinstance(ends(question, port), TransientError)
    assert psutil.Process().memory_info().rss - before < 200 * 2**20


def test_a_list_that_never_ends_is_cut_off(monkeypatch):
    monkeypatch.setattr("node.deliver.query.MOST_INSTANCES", 50)
    uid = element(0x0018, b"2.25.1")[2:]
    identifier = pdv(struct.pack("<H", 0x0008) + uid, IS_LAST)
    sent = threading.Event()

    def endless(raw):
        while True:
            raw.connection.sendall(
                struct.pack(">BxI", 4, len(PENDING + identifier)) + PENDING + identifier
            )
            sent.set()

    with after_the_message(endless) as port:
        error = ends(query, port)
    assert sent.is_set()
    assert isinstance(error, TransientError)
    assert "lists more than 50 instances" in str(error)
