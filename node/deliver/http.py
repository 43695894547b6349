"""HTTP requests to an origin server: who the node says it is, and what an answer may cost.

urllib3 makes and keeps the connections. Nothing is repeated or redirected by itself: what to
do again is for the outbox to decide, and credentials go to the configured host only.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)

from node.config.destination import DicomwebDestination
from node.deliver.tls import client_context
from node.errors import Away, TransientError

MAX_ANSWER_BYTES: Final = 16 * 2**20
"""Of one answer: the instances of a series, or what became of one that was stored."""
_READ_BYTES: Final = 65536
_NO_ASSOCIATION: Final = (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
"""Nothing of the request has reached the server."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes


class Client:
    """The connections to one origin server. Not thread-safe.

    Raises
    ------
    Away
        If a certificate cannot be used.
    """

    def __init__(self, destination: DicomwebDestination) -> None:
        self._destination = destination
        self._url = destination.url.rstrip("/")
        self._pool: PoolManager | None = None

    @property
    def name(self) -> str:
        """How messages call the server."""
        return self._url

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Iterable[bytes] | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Parameters
        ----------
        path
            Below the base URL, beginning with a slash.

        Raises
        ------
        Away
            If the server cannot be reached, or a file with credentials not be read.
        TransientError
            If the connection breaks or there is no whole answer in time. The server may or
            may not have acted.
        """
        every = {**headers, **self._credentials()}
        deadline = time.monotonic() + self._destination.timeout_s
        try:
            response = self._connections().request(
                method,
                self._url + path,
                headers=every,
                body=body,
                preload_content=False,
                retries=False,
            )
            try:
                return self._read(response, max(deadline, time.monotonic() + 1))
            finally:
                response.release_conn()
        except _NO_ASSOCIATION as error:
            raise Away(f"{self.name} cannot be reached: {_words(error)}") from error
        except (HTTPError, OSError) as error:
            raise TransientError(f"{self.name} broke the request off: {_words(error)}") from error

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _connections(self) -> PoolManager:
        if self._pool is None:
            seconds = self._destination.timeout_s
            timeout = Timeout(connect=seconds, read=seconds)
            self._pool = PoolManager(1, maxsize=1, timeout=timeout, **self._tls())
        return self._pool

    def _tls(self) -> dict[str, Any]:
        tls = self._destination.tls
        if not self._url.startswith("https:"):
            return {}
        options: dict[str, Any] = {"ssl_context": client_context(tls)}
        if tls and tls.server_name:
            options |= {"server_hostname": tls.server_name, "assert_hostname": tls.server_name}
        return options

    def _read(self, response: BaseHTTPResponse, deadline: float) -> Answer:
        body = bytearray()
        while piece := response.read(_READ_BYTES):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise TransientError(
                    f"{self.name} answered with more than {MAX_ANSWER_BYTES} bytes"
                )
            if time.monotonic() > deadline:
                response.close()
                raise TransientError(
                    f"{self.name} did not answer within {self._destination.timeout_s:g} s"
                )
        content_type = response.headers.get("Content-Type", "")
        return Answer(response.status, content_type.partition(";")[0].strip().lower(), bytes(body))

    def _credentials(self) -> dict[str, str]:
        """Header lines that say who the node is, as the files have them now."""
        wanted = self._destination
        headers: dict[str, str] = {}
        if wanted.headers_file is not None:
            lines = _secret(wanted.headers_file).splitlines()
            for line in filter(str.strip, lines):
                name, colon, value = line.partition(":")
                if not colon:
                    raise Away(f"{wanted.headers_file} has a line that is no 'Name: value'")
                headers[name.strip()] = value.strip()
        if wanted.user is not None and wanted.password_file is not None:
            pair = f"{wanted.user}:{_secret(wanted.password_file)}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        if wanted.bearer_file is not None:
            headers["Authorization"] = f"Bearer {_secret(wanted.bearer_file)}"
        return headers


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Away(f"{path} cannot be read ({type(error).__name__})") from error


def _words(error: Exception) -> str:
    # Their texts hold addresses of objects and whole URLs; the class says enough.
    inner = error.args[-1] if error.args else error
    return type(inner if isinstance(inner, Exception) else error).__name__
