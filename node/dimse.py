"""What both doors, receive and deliver, share of DIMSE."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pydicom.uid import UID

if TYPE_CHECKING:
    from pynetdicom.events import Event

VERIFICATION = UID("1.2.840.10008.1.1")
"""SOP class of the C-ECHO (PS3.4 Annex A)."""
APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
"""The DICOM application context name (PS3.7 Annex A)."""
IMPLEMENTATION_CLASS_UID = UID("2.25.147964205186410929911346430346110284365")
IMPLEMENTATION_VERSION_NAME = "WETREAD"
"""What the node calls itself in associations and file meta information (PS3.7 Section D.3.3.2)."""


def send_at_once(event: Event) -> None:
    """Switch Nagle's algorithm off: a small message must not wait for the peer's delayed ACK.

    A handler of ``EVT_CONN_OPEN``.
    """
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
