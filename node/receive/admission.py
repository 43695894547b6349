"""Who may associate: called and calling AE title, where they come from, their certificate."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from node.config.model import Peer

log = structlog.get_logger(__name__)

CALLED_AE_TITLE_NOT_RECOGNIZED: Final = (1, 1, 7)
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = (1, 1, 3)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = (1, 1, 2)
PROTOCOL_VERSION_NOT_SUPPORTED: Final = (1, 2, 2)
LOCAL_LIMIT_EXCEEDED: Final = (2, 3, 2)

ADDRESSES_KEPT_S: Final = 60.0
"""A host name is looked up again after this time, so that a peer may change its address."""
STRANGERS_ANSWERED: Final = 20
STRANGERS_PER_S: Final = 60.0
"""So many rejections one address gets in this time; more of its calls are closed unanswered."""
_ADDRESSES_WATCHED: Final = 1024


@dataclass(frozen=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 Section 9.3.4) and the sentence for the log.

    Parameters
    ----------
    result, source, diagnostic
        Result, source and reason/diagnostic of the PDU.
    """

    result: int
    source: int
    diagnostic: int
    reason: str


class Admission:
    """Decides who is welcome.

    Parameters
    ----------
    ae_title
        Of the node; a caller must call it by this name.
    peers
        Who may connect, nobody else.
    monotonic
        Seconds of a clock that never goes back.
    """

    def __init__(
        self, ae_title: str, peers: Sequence[Peer], monotonic: Callable[[], float]
    ) -> None:
        self._ae_title = ae_title
        self._peers = tuple(peers)
        self._addresses = Addresses(monotonic)

    def refuse_titles(self, called_ae_title: str, calling_ae_title: str) -> Rejection | None:
        """Say why these AE titles are not welcome, whoever uses them; decides without a look-up."""
        if called_ae_title != self._ae_title:
            return Rejection(
                *CALLED_AE_TITLE_NOT_RECOGNIZED,
                f"called AE title {called_ae_title!r} is not {self._ae_title!r}",
            )
        if not self._known(calling_ae_title):
            return Rejection(
                *CALLING_AE_TITLE_NOT_RECOGNIZED,
                f"calling AE title {calling_ae_title!r} is not in receive.accept_from",
            )
        return None

    def admit(
        self, calling_ae_title: str, address: str, certificate_names: Collection[str]
    ) -> Peer | Rejection:
        """Find the peer of receive.accept_from that a caller is.

        Host names are looked up, which may take seconds.

        Parameters
        ----------
        address
            IP address of the caller.
        certificate_names
            DNS names of its TLS certificate, in lower case; empty without TLS.
        """
        from_here = [
            peer
            for peer in self._known(calling_ae_title)
            if peer.host is None or address in self._addresses.of(peer.host)
        ]
        if not from_here:
            return Rejection(
                *CALLING_AE_TITLE_NOT_RECOGNIZED,
                f"{calling_ae_title!r} calls from {address}, which receive.accept_from "
                "does not give for it",
            )
        for peer in from_here:
            name = peer.certificate_name
            if name is None or name.lower() in certificate_names:
                return peer
        return Rejection(
            *CALLING_AE_TITLE_NOT_RECOGNIZED,
            f"{calling_ae_title!r} shows a certificate for "
            f"{', '.join(sorted(certificate_names)) or 'no name'}; receive.accept_from wants "
            f"{from_here[0].certificate_name}",
        )

    def _known(self, calling_ae_title: str) -> list[Peer]:
        return [peer for peer in self._peers if peer.ae_title == calling_ae_title]


class Strangers:
    """How often each address was turned away, so that a flood of strangers is not answered.

    Safe to use from many threads.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def answer(self, address: str) -> bool:
        """Count one more stranger from an address; False: it gets no answer any more."""
        now = self._monotonic()
        with self._lock:
            since, count = self._seen.pop(address, (now, 0))
            if now - since > STRANGERS_PER_S:
                since, count = now, 0
            self._seen[address] = (since, count + 1)
            if len(self._seen) > _ADDRESSES_WATCHED:
                self._seen.popitem(last=False)
        return count < STRANGERS_ANSWERED


class Addresses:
    """IP addresses of host names, looked up now and then. Safe to use from many threads.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never goes back.
    look_up
        Gives the addresses of a host; raises OSError or UnicodeError if it cannot.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        look_up: Callable[[str], frozenset[str]] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._look_up = look_up or _look_up
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, frozenset[str]]] = {}

    def of(self, host: str) -> frozenset[str]:
        """Addresses of a host; an IP address is its own, and an unknown host has none.

        While the resolver is away a host keeps the addresses it had.
        """
        now = self._monotonic()
        with self._lock:
            looked_up, addresses = self._found.get(host, (now, frozenset()))
            if addresses and now - looked_up < ADDRESSES_KEPT_S:
                return addresses
        try:
            addresses = self._look_up(host)
        except (OSError, UnicodeError) as error:
            log.warning("peer.not_looked_up", host=host, error=type(error).__name__)
        with self._lock:
            self._found[host] = (now, addresses)
        return addresses


def _look_up(host: str) -> frozenset[str]:
    found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    return frozenset(str(entry[4][0]) for entry in found)
