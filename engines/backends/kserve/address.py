"""Where a model server is: the backend's device, such as ``grpc://models.local:8001``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engines.errors import BackendUnavailable

PORT = 8001
"""Port of Triton's gRPC service; taken where the device names none."""

LARGEST_MESSAGE_BYTES = 2**31 - 1
"""Largest message that protobuf can hold; gRPC itself would stop at 4 MB."""

_FORM = "grpc://HOST:PORT or grpcs://HOST:PORT?ca=FILE"


@dataclass(frozen=True)
class Address:
    """A model server.

    Parameters
    ----------
    host
        Name or IP address; an IPv6 address without brackets.
    port
        TCP port.
    tls
        Whether the server must show a certificate that fits `host`.
    ca
        PEM file with the certificates to trust instead of those gRPC brings, or None.
    """

    host: str
    port: int
    tls: bool = False
    ca: Path | None = None

    def __str__(self) -> str:
        return f"{'grpcs' if self.tls else 'grpc'}://{self.target}"

    @property
    def target(self) -> str:
        """Host and port as gRPC writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(device: str) -> Address:
    """Read a device.

    Raises
    ------
    BackendUnavailable
        If it is not of the form ``grpc://HOST:PORT`` or ``grpcs://HOST:PORT?ca=FILE``.
    """
    wrong = f"backend 'kserve' runs on a device {_FORM}, not {device!r}"
    try:
        parts = urlsplit(device)
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise BackendUnavailable(wrong) from error
    tls = parts.scheme == "grpcs"
    known = {"ca"} if tls else set()
    rest = parts.path.strip("/") or parts.fragment or parts.username or set(query) - known
    if parts.scheme not in ("grpc", "grpcs") or not host or rest:
        raise BackendUnavailable(wrong)
    ca = Path(query["ca"][-1]) if "ca" in query else None
    return Address(host, PORT if port is None else port, tls, ca)


def open_channel(address: Address) -> Any:
    """Make a gRPC channel; it connects at the first call, and again after each loss.

    Raises
    ------
    BackendUnavailable
        If the file of `ca` cannot be read.
    """
    import grpc

    options = [
        ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
        # A study must not wait two minutes for a server that came back after one.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # Hospital networks set proxies for the web; the model server is not behind one.
        ("grpc.enable_http_proxy", 0),
    ]
    if not address.tls:
        return grpc.insecure_channel(address.target, options)
    try:
        roots = address.ca.read_bytes() if address.ca else None
    except OSError as error:
        raise BackendUnavailable(f"{address}: {address.ca}: {error.strerror}") from error
    return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(roots), options)


__all__ = ["LARGEST_MESSAGE_BYTES", "PORT", "Address", "open_channel", "parse_address"]
