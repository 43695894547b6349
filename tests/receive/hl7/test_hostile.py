"""Callers that are slow, silent, broken or greedy cost the others nothing."""

from __future__ import annotations

import resource

import pytest

from tests.builders.hl7 import code, oru
from tests.builders.network import wait_until

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 5000,
        bytes(range(256)).replace(b"\x0b", b"") * 40,
        b"\x0bMSH|^~\\&|a\x0bMSH",
        b"\x0b" + b"x" * 20000,
    ],
    ids=["HTTP", "noise", "a block inside a block", "too large"],
)
def test_what_is_no_mllp_is_hung_up_on(open_desk, content):
    desk = open_desk(max_message_bytes=10000)
    caller = desk.call()

    caller.raw(content)

    assert caller.answer() == ""
    assert code(desk.call().send(oru())) == "AA"


def test_line_ends_between_blocks_do_no_harm(desk):
    ris = desk.call()
    ris.raw(b"\r\n\r\n")

    assert code(ris.send(oru(control_id="1"))) == "AA"
    ris.raw(b"\r\n")
    assert code(ris.send(oru(control_id="2", accession="B"))) == "AA"


def test_whole_messages_before_noise_are_answered(desk):
    caller = desk.call()

    caller.raw(b"\x0b" + oru() + b"\x1c\r" + b"noise" * 2000)

    assert code(caller.answer()) == "AA"
    assert caller.answer() == ""


def test_half_a_message_is_given_up_after_its_time_however_it_trickles(open_desk):
    desk = open_desk(message_timeout_s=0.5)
    caller = desk.call()
    caller.raw(b"\x0bMSH|")

    def trickle():
        try:
            caller.raw(b"x")
        except OSError:
            return True
        return False

    wait_until(trickle, within_s=10, what="the listener hangs up")
    assert desk.reports.newest() == []


def test_a_caller_that_hangs_up_in_mid_message_leaves_nothing(desk):
    caller = desk.call()
    caller.raw(b"\x0b" + oru()[:100])
    caller.close()

    assert code(desk.call().send(oru())) == "AA"
    assert len(desk.reports.newest()) == 1


def test_thousands_of_idle_callers_do_not_keep_a_ris_out(desk):
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    idle = [desk.call() for _ in range(min(3000, room // 3))]

    assert code(desk.call().send(oru())) == "AA"
    assert idle[0].answer() == ""


def test_a_flood_of_callers_that_are_not_listed_does_not_keep_a_ris_out(open_desk):
    desk = open_desk(accept_from=[{"host": "127.0.0.1"}, {"host": "10.255.255.1"}])
    for _ in range(500):
        desk.call().close()

    assert code(desk.call().send(oru())) == "AA"


def test_unfinished_messages_of_all_callers_together_are_limited(open_desk):
    desk = open_desk(max_message_bytes=100_000, message_timeout_s=60)
    greedy = [desk.call() for _ in range(8)]
    for caller in greedy:
        caller.raw(b"\x0b" + b"x" * 90_000)

    wait_until(
        lambda: sum(_is_closed(caller) for caller in greedy) >= 3,
        within_s=20,
        what="the largest are hung up on",
    )
    assert code(desk.call().send(oru())) == "AA"


def _is_closed(caller):
    caller.socket.settimeout(0.01)
    try:
        return caller.socket.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
