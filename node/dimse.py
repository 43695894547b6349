"""What both doors, receive and deliver, share of DIMSE."""

from __future__ import annotations

import socket

from pydicom.uid import UID
from pynetdicom.events import Event

VERIFICATION = UID("1.2.840.10008.1.1")
"""SOP class of the C-ECHO (PS3.4 Annex A)."""


def send_at_once(event: Event) -> None:
    """Switch Nagle's algorithm off: a small message must not wait for the peer's delayed ACK.

    A handler of ``EVT_CONN_OPEN``.
    """
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
