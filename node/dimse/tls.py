"""What TLS may be at both doors: BCP 195 (PS3.15 Section B.12)."""

from __future__ import annotations

import ssl
from typing import Final

_CIPHERS_OF_TLS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!PSK"
"""Forward secrecy and authenticated encryption only (RFC 9325 Section 4.2)."""


def bcp_195(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    """Make a context of TLS 1.2 and 1.3 without what RFC 9325 forbids, and without certificates.

    Parameters
    ----------
    protocol
        `ssl.PROTOCOL_TLS_SERVER` or `ssl.PROTOCOL_TLS_CLIENT`.
    """
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_OF_TLS_1_2)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context
