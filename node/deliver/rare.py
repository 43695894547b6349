"""An association on pynetdicom, for services that are asked for once in a while.

Storage has its own data path (`node.deliver.association`), because pynetdicom's takes several
times what the peer needs; for a storage commitment or a query of a few objects that is no
matter, and all messages are encoded and decoded by a library that knows them. What it reads
is bounded here: by itself it waits for ever for the rest of a PDU, and takes any length.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association

from node.config.destination import DimseDestination
from node.deliver.tls import client_context
from node.deliver.wire import MAX_ANSWER_BYTES, name_of
from node.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.errors import Away, PermanentError

MOST_BYTES: Final = 64 * 2**20
"""Of all that comes over one association: the instances of many series, listed."""
_READ_BYTES: Final = 65536


@contextmanager
def rare_association(
    destination: DimseDestination,
    calling_ae_title: str,
    sop_classes: Sequence[UID],
    *,
    roles: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Association]:
    """Open an association for some SOP classes, and release it.

    Parameters
    ----------
    calling_ae_title
        Of the node, where the destination has none of its own configured.
    roles
        Role selections of pynetdicom, by which the node proposes another role than SCU.
    handlers
        Events of pynetdicom with what is called at each.

    Raises
    ------
    Away
        If the destination cannot be reached, or rejects the association.
    PermanentError
        If it accepts none of the SOP classes.
    """
    ae = AE(destination.calling_ae_title or calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = destination.timeout_s
    ae.dimse_timeout = ae.network_timeout = destination.timeout_s
    for sop_class in sop_classes:
        ae.add_requested_context(sop_class)
    tls = destination.tls
    association = ae.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_CONN_OPEN, _bound, [destination.timeout_s]), *handlers],
        tls_args=(client_context(tls), tls.server_name or destination.host) if tls else None,
    )
    if not association.is_established:
        if association.rejected_contexts:
            names = ", ".join(UID(sop_class).name for sop_class in sop_classes)
            raise PermanentError(f"{name_of(destination)} does not accept {names}")
        what = "rejected the association" if association.is_rejected else "cannot be reached"
        raise Away(f"{name_of(destination)} {what}")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _bound(event: evt.Event, timeout_s: float) -> None:
    """Have pynetdicom read by `_Line` from a connection that has just been opened."""
    transport = event.assoc.dul.socket
    assert transport is not None  # noqa: S101 - for the type checker
    assert transport.socket is not None  # noqa: S101 - for the type checker
    transport.recv = _Line(transport.socket, timeout_s).recv  # type: ignore[method-assign]


class _Line:
    """Reads what pynetdicom asks for, in time and within bounds."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        # For sending, too: a peer that reads nothing more must not hold the thread.
        connection.settimeout(timeout_s)
        self._connection = connection
        self._timeout_s = timeout_s
        self._left = MOST_BYTES

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer if the peer has closed the connection.

        Raises
        ------
        OSError
            If they do not come in time, or if they are more than any answer has.
        """
        self._left -= nr_bytes
        if nr_bytes > MAX_ANSWER_BYTES or self._left < 0:
            raise OSError(f"an answer of {nr_bytes} bytes, or too much in all")
        deadline = time.monotonic() + self._timeout_s
        found = bytearray()
        while len(found) < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the rest of a PDU does not come")
            self._connection.settimeout(left)
            piece = self._connection.recv(min(nr_bytes - len(found), _READ_BYTES))
            if not piece:
                break
            found += piece
        self._connection.settimeout(self._timeout_s)
        return found
