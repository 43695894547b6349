"""Peers that hang, drip, lie about lengths or break off: each ends within its timeout."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from node.deliver.scu import echo, send
from node.domain import DeliveryState
from node.errors import Away, TransientError
from tests.builders import ct_series, write
from tests.deliver.peers import (
    Silence,
    after_the_message,
    destination,
    drip,
    raw_peer,
    silent_peer,
    until_the_end,
)

pytestmark = pytest.mark.loopback

TIMEOUT_S = 0.5


@pytest.fixture
def paths(tmp_path):
    return write(ct_series(slices=2, rows=256, columns=256), tmp_path)


def sent(port, paths, timeout_s=TIMEOUT_S):
    """Send and give the outcomes; what has not been answered is in the error."""
    found = []
    to = destination(port, timeout_s=timeout_s)
    send(paths, to, "WETREAD", lambda _path, outcome: found.append(outcome))
    return found


@pytest.mark.parametrize("silence", Silence)
def test_a_peer_of_no_use_ends_within_the_timeout(paths, silence):
    expected = TransientError if silence is Silence.AFTER_ASSOCIATION else Away
    with silent_peer(silence) as port:
        began = time.monotonic()
        with pytest.raises(expected, match=r"MAINPACS at 127\.0\.0\.1"):
            sent(port, paths)
        # Once for the association, once for the answer.
        assert time.monotonic() - began < 2 * TIMEOUT_S + 2


def reset(raw):
    raw.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.connection.close()


RESPONSE = struct.pack(">BxI", 0x04, 200) + struct.pack(">IBB", 196, 1, 0x03) + bytes(194)


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (lambda raw: drip(raw, RESPONSE), "did not answer within 0.5 s"),
        (lambda raw: raw.connection.sendall(RESPONSE[:40]), "did not answer within 0.5 s"),
        (
            lambda raw: raw.connection.sendall(struct.pack(">BxI", 0x04, 1_500_000_000)),
            "announced a PDU of 1500000000 bytes",
        ),
        (lambda raw: raw.send(0x07), "aborted the association"),
        (lambda raw: raw.send(0x05), "released the association"),
        (lambda raw: raw.connection.close(), "broke the association off"),
        (reset, "broke the association off"),
        (lambda raw: raw.send(0x02, bytes(80)), "sent a PDU of type 0x02 instead of a response"),
        (lambda raw: raw.send(0x04, b"\0\0\0\x01\x01\x03"), "sent a PDV of 1 bytes"),
        (lambda raw: raw.send(0x04, b"\0\0\1\0\x01\x03"), "sent a PDV of 256 bytes"),
        (lambda raw: raw.send(0x04, b"\0\0\0\x02\x01\x03"), "without a usable"),
        (lambda raw: raw.send(0x04, b"\0\0\0\x04\x01\x02ab"), "a data set with the response"),
        (lambda raw: raw.connection.sendall(RESPONSE), "sent a command set"),
        (lambda raw: raw.answer(0x0000, 2), "a response to message 2 instead of 1"),
    ],
)
def test_an_answer_that_is_none_ends_the_association_within_the_timeout(paths, behave, words):
    began = time.monotonic()
    with after_the_message(behave) as port, pytest.raises(TransientError, match=words):
        sent(port, paths)
    assert time.monotonic() - began < TIMEOUT_S + 3


def test_a_command_set_that_never_ends_is_cut_by_the_deadline(paths):
    def endless(raw):
        while True:
            raw.send(0x04, struct.pack(">IBB", 2, 1, 0x01))

    with after_the_message(endless) as port, pytest.raises(TransientError, match="did not answer"):
        sent(port, paths)


def test_a_peer_that_resets_in_mid_object_is_a_transient_error(paths):
    def reset_after_the_command(raw):
        raw.accept()
        raw.pdu()
        reset(raw)

    with raw_peer(reset_after_the_command) as port, pytest.raises(TransientError, match="MAINPACS"):
        sent(port, paths)


def test_a_peer_that_takes_nothing_more_in_mid_object_is_given_up_in_time(tmp_path):
    [image] = ct_series(slices=1)
    image.PixelData = bytes(32_000_000)
    done = threading.Event()

    def stop_reading(raw):
        raw.accept()
        done.wait(30)

    with raw_peer(stop_reading) as port:
        with pytest.raises(TransientError, match=r"within 0\.5 s"):
            sent(port, write(image, tmp_path))
        done.set()


def test_an_answer_in_many_pieces_is_one_answer(paths):
    def in_pieces(raw):
        raw.accept()
        for message_id in (1, 2):
            raw.message()
            raw.answer(0xB000, message_id, pieces=11)
        until_the_end(raw)

    with raw_peer(in_pieces) as port:
        assert [outcome.status for outcome in sent(port, paths)] == [0xB000, 0xB000]


@pytest.mark.parametrize("max_pdu_bytes", [8, 9, 127, 4097, 0, 2**32 - 1])
def test_no_pdu_is_longer_than_the_peer_takes_and_every_fragment_is_even(tmp_path, max_pdu_bytes):
    lengths = []

    def measure(raw):
        raw.accept(max_pdu_bytes)
        read = raw.pdu

        def pdu():
            kind, body = read()
            lengths.append(len(body))
            return kind, body

        raw.pdu = pdu
        raw.message()
        raw.answer(0x0000, 1)
        until_the_end(raw)

    small = write(ct_series(slices=1), tmp_path)
    with raw_peer(measure) as port:
        assert [o.state for o in sent(port, small, 5)] == [DeliveryState.DELIVERED]
    assert max(lengths) <= (max_pdu_bytes or 2**32)
    assert {length % 2 for length in lengths} == {0}


@pytest.mark.parametrize("max_pdu_bytes", [1, 7])
def test_a_peer_that_takes_no_pdu_at_all_is_no_use(paths, max_pdu_bytes):
    def accept(raw):
        raw.accept(max_pdu_bytes)
        until_the_end(raw)

    with raw_peer(accept) as port, pytest.raises(Away, match="maximum PDU length"):
        sent(port, paths)


def test_a_release_by_the_peer_is_answered(paths):
    answers = []

    def release(raw):
        raw.accept()
        raw.message()
        raw.send(0x05)
        answers.append(raw.pdu()[0])

    with raw_peer(release) as port, pytest.raises(TransientError, match="released"):
        sent(port, paths)
    assert answers == [0x06]


def test_a_host_that_does_not_exist_is_away_by_name():
    nowhere = destination(104, host="no-such-host.invalid", timeout_s=5)

    with pytest.raises(Away, match=r"no-such-host\.invalid:104 cannot be reached"):
        echo(nowhere, "WETREAD")


def test_a_file_that_is_no_dicom_fails_by_name_and_the_others_go(paths, tmp_path):
    wrong = tmp_path / "wrong.dcm"
    wrong.write_bytes(b"no DICOM" * 100)

    def take(raw):
        raw.accept()
        for message_id in (1, 2):
            raw.message()
            raw.answer(0x0000, message_id)
        until_the_end(raw)

    with raw_peer(take) as port:
        found = sent(port, [wrong, *paths])
    assert [o.state.value for o in found] == ["failed", "delivered", "delivered"]
    assert "wrong.dcm cannot be read as a DICOM file" in found[0].reason
