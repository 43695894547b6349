"""TLS to a destination: BCP 195 (PS3.15 Section B.12), mutual where a certificate is given."""

from __future__ import annotations

import ssl

from node.config.destination import DestinationTls
from node.dimse.tls import bcp_195
from node.errors import Away


def client_context(tls: DestinationTls | None) -> ssl.SSLContext:
    """Make the context of one connection from the files as they are now.

    Made anew for each connection, so that renewed certificates need no restart.

    Parameters
    ----------
    tls
        None: trust the authorities of the system, and show no certificate.

    Raises
    ------
    Away
        If a file cannot be used; someone may mend it meanwhile.
    """
    context = bcp_195(ssl.PROTOCOL_TLS_CLIENT)
    if tls is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise Away(f"the files of its section tls cannot be used: {error}") from error
    return context
