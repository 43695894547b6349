"""An association on pynetdicom, for services that are asked for once in a while.

Storage has its own data path (`node.deliver.association`), because pynetdicom's takes several
times what the peer needs; for a storage commitment or a query of a few objects that is no
matter, and all messages are encoded and decoded by a library that knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from node.config.destination import DimseDestination
from node.deliver.tls import client_context
from node.deliver.wire import name_of
from node.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.errors import Away, PermanentError


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
        evt_handlers=list(handlers),
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
