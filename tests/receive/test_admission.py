"""Who is welcome, decided from titles, addresses and certificates; and how strangers fare."""

from __future__ import annotations

import re

import pytest

from node.config.model import Peer
from node.receive.admission import (
    ADDRESSES_KEPT_S,
    STRANGERS_ANSWERED,
    STRANGERS_PER_S,
    Addresses,
    Admission,
    Rejection,
    Strangers,
)

ANYWHERE = Peer(ae_title="ANYWHERE")
HERE = Peer(ae_title="CT1", host="192.0.2.7")
THERE = Peer(ae_title="CT1", host="192.0.2.8", certificate_name="CT1.hospital")
NAMED = Peer(ae_title="NAMED", host="localhost")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def admission():
    return Admission("WETREAD", (ANYWHERE, HERE, THERE, NAMED), Clock())


@pytest.mark.parametrize(
    ("calling", "address", "names", "peer"),
    [
        ("ANYWHERE", "203.0.113.9", (), ANYWHERE),
        ("CT1", "192.0.2.7", (), HERE),
        ("CT1", "192.0.2.8", ("ct1.hospital",), THERE),
        ("NAMED", "127.0.0.1", (), NAMED),
    ],
)
def test_a_caller_is_the_peer_whose_title_address_and_certificate_fit(
    admission, calling, address, names, peer
):
    assert admission.admit(calling, address, names) is peer


@pytest.mark.parametrize(
    ("calling", "address", "names", "reason"),
    [
        ("CT1", "192.0.2.9", (), "'CT1' calls from 192.0.2.9, which receive.accept_from"),
        ("CT1", "192.0.2.8", ("mr1.hospital",), "a certificate for mr1.hospital; .* CT1.hospital"),
        ("CT1", "192.0.2.8", (), "a certificate for no name"),
        ("STRANGER", "192.0.2.7", (), "'STRANGER' calls from"),
    ],
)
def test_anybody_else_is_rejected_with_the_reason(admission, calling, address, names, reason):
    rejection = admission.admit(calling, address, names)
    assert isinstance(rejection, Rejection)
    assert (rejection.result, rejection.source, rejection.diagnostic) == (1, 1, 3)
    assert re.search(reason, rejection.reason)


def test_a_stranger_is_answered_some_times_and_again_after_a_while():
    clock = Clock()
    strangers = Strangers(clock)

    answers = [strangers.answer("192.0.2.1") for _ in range(STRANGERS_ANSWERED + 5)]
    assert answers == [True] * STRANGERS_ANSWERED + [False] * 5
    assert strangers.answer("192.0.2.2")

    clock.now += STRANGERS_PER_S + 1
    assert strangers.answer("192.0.2.1")


class Names:
    """A resolver that knows one host, while it answers at all."""

    def __init__(self) -> None:
        self.answers = True
        self.address = "192.0.2.7"
        self.asked = 0

    def __call__(self, host: str) -> frozenset[str]:
        self.asked += 1
        if not self.answers:
            raise OSError(host)
        return frozenset({self.address})


def test_a_host_name_is_looked_up_again_after_a_while():
    clock, names = Clock(), Names()
    addresses = Addresses(clock, names)

    assert addresses.of("pacs") == {"192.0.2.7"}
    names.address = "192.0.2.8"
    assert addresses.of("pacs") == {"192.0.2.7"}
    clock.now += ADDRESSES_KEPT_S
    assert addresses.of("pacs") == {"192.0.2.8"}


def test_a_resolver_that_is_away_turns_no_peer_away_that_was_known():
    clock, names = Clock(), Names()
    addresses = Addresses(clock, names)
    addresses.of("pacs")

    names.answers = False
    clock.now += ADDRESSES_KEPT_S
    assert addresses.of("pacs") == {"192.0.2.7"}
    assert addresses.of("pacs") == {"192.0.2.7"}
    assert names.asked == 2


def test_a_host_that_could_not_be_looked_up_is_looked_up_for_the_next_caller():
    names = Names()
    addresses = Addresses(Clock(), names)

    names.answers = False
    assert addresses.of("pacs") == set()
    names.answers = True
    assert addresses.of("pacs") == {"192.0.2.7"}


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64, "a..b"])
def test_a_peer_whose_host_does_not_exist_is_rejected_and_not_an_error(host):
    admission = Admission("WETREAD", (Peer(ae_title="CT1", host=host),), Clock())

    assert isinstance(admission.admit("CT1", "192.0.2.7", ()), Rejection)
