"""Who may associate: called and calling AE title, and the host they come from."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from node.config.model import Peer


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


CALLED_AE_TITLE_NOT_RECOGNIZED = (1, 1, 7)
CALLING_AE_TITLE_NOT_RECOGNIZED = (1, 1, 3)
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)


class Admission:
    """Decides on associations.

    Parameters
    ----------
    ae_title
        Of the node; a caller must call it by this name.
    peers
        Who may connect, nobody else. Host names are looked up for each association, so
        that a peer whose address changes keeps working.
    max_associations
        One more is rejected as transient, so that the peer tries again.
    """

    def __init__(self, ae_title: str, peers: Sequence[Peer], max_associations: int) -> None:
        self._ae_title = ae_title
        self._peers = tuple(peers)
        self._max_associations = max_associations

    def refuse(
        self, called_ae_title: str, calling_ae_title: str, address: str, associations: int
    ) -> Rejection | None:
        """Say why an association is rejected, or None if it is welcome.

        Parameters
        ----------
        address
            IP address of the peer.
        associations
            Associations open now, this one included.
        """
        if called_ae_title != self._ae_title:
            return Rejection(
                *CALLED_AE_TITLE_NOT_RECOGNIZED,
                f"called AE title {called_ae_title!r} is not {self._ae_title!r}",
            )
        known = [peer for peer in self._peers if peer.ae_title == calling_ae_title]
        if not known:
            return Rejection(
                *CALLING_AE_TITLE_NOT_RECOGNIZED,
                f"calling AE title {calling_ae_title!r} is not in receive.accept_from",
            )
        if not any(peer.host is None or address in _addresses(peer.host) for peer in known):
            return Rejection(
                *CALLING_AE_TITLE_NOT_RECOGNIZED,
                f"{calling_ae_title!r} calls from {address}, which receive.accept_from "
                "does not give for it",
            )
        if associations > self._max_associations:
            return Rejection(
                *LOCAL_LIMIT_EXCEEDED,
                f"{associations} associations open; receive.max_associations is "
                f"{self._max_associations}",
            )
        return None


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return {host}
    return {str(entry[4][0]) for entry in found}
