"""TLS at the door: mutual, BCP 195 (PS3.15 Section B.12), certificates renewed while it runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from node.config.model import Tls
from node.dimse.tls import bcp_195
from node.errors import ConfigError

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0


class Certificates:
    """The TLS context of the door, made anew when one of its files changes.

    Not safe to use from several threads.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never goes back.

    Raises
    ------
    ConfigError
        If a file cannot be used at the start. Later a bad file is logged, and what was read
        before stays in force.
    """

    def __init__(self, tls: Tls, monotonic: Callable[[], float]) -> None:
        self._tls = tls
        self._monotonic = monotonic
        self._looked = monotonic()
        self._stamp = self._stamp_of_files()
        try:
            self._context = _context(tls)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"receive.tls: cannot use its files: {error}") from error

    def current(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        now = self._monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            stamp = self._stamp_of_files()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = _context(self._tls)
        except (OSError, ssl.SSLError) as error:
            log.error("tls.not_renewed", reason=str(error))  # noqa: TRY400 - the reason says it all
        else:
            log.info("tls.renewed")

    def _stamp_of_files(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._tls.certificate, self._tls.key, self._tls.ca))


def certificate_names(connection: ssl.SSLSocket) -> frozenset[str]:
    """DNS names of the peer's certificate in lower case; its common name where it has none.

    RFC 9525 leaves the common name to certificates without DNS names.
    """
    certificate: dict[str, Any] = connection.getpeercert() or {}
    names = {str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    if not names:
        names = {
            str(pair[1])
            for part in certificate.get("subject", ())
            for pair in part
            if pair[0] == "commonName"
        }
    return frozenset(name.lower() for name in names)


def _context(tls: Tls) -> ssl.SSLContext:
    context = bcp_195(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.ca)
    return context


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
