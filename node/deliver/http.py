"""HTTP requests to an origin server: who the node says it is, and what an answer may cost.

urllib3 makes and keeps the connections. Nothing is repeated or redirected by itself: what to
do again is for the outbox to decide, and credentials go to the configured host only.
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Final

from urllib3 import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPSConnectionPool,
    PoolManager,
    Timeout,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
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
        self._limit: _Limit | None = None

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
        self._limit = limit = _Limit(self._destination.timeout_s)
        try:
            response = self._connections().request(
                method,
                self._url + path,
                headers=every,
                body=None if body is None else limit.after(body),
                preload_content=False,
                retries=False,
            )
            try:
                return self._read(response, limit)
            finally:
                response.release_conn()
        except _NO_ASSOCIATION as error:
            raise Away(f"{self.name} cannot be reached: {_words(error)}") from error
        except (HTTPError, OSError) as error:
            if limit.is_over:
                raise self._late() from error
            raise TransientError(f"{self.name} broke the request off: {_words(error)}") from error
        finally:
            limit.end()

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
            self._pool.pool_classes_by_scheme = _pools(self)
        return self._pool

    def sends_over(self, connection: socket.socket) -> None:
        """Begin a request over a connection; the limit of its answer can end it."""
        if self._limit is not None:
            self._limit.watch(connection)

    def _tls(self) -> dict[str, Any]:
        tls = self._destination.tls
        if not self._url.startswith("https:"):
            return {}
        options: dict[str, Any] = {"ssl_context": client_context(tls)}
        if tls and tls.server_name:
            options |= {"server_hostname": tls.server_name, "assert_hostname": tls.server_name}
        return options

    def _read(self, response: BaseHTTPResponse, limit: _Limit) -> Answer:
        body = bytearray()
        while piece := response.read(_READ_BYTES):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise TransientError(
                    f"{self.name} answered with more than {MAX_ANSWER_BYTES} bytes"
                )
        if limit.is_over:
            # What ends by the end of the connection would look whole.
            raise self._late()
        content_type = response.headers.get("Content-Type", "")
        return Answer(response.status, content_type.partition(";")[0].strip().lower(), bytes(body))

    def _late(self) -> TransientError:
        return TransientError(
            f"{self.name} did not answer within {self._destination.timeout_s:g} s"
        )

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


class _Limit:
    """The time that one answer may take as a whole; a socket's timeout is for each piece of it.

    It begins when the request is sent, and shuts the connection down when it is over.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._connection: socket.socket | None = None
        self._timer = Timer(seconds, self._cut)
        self._timer.daemon = True
        self._has_body = False

    def watch(self, connection: socket.socket) -> None:
        """Note over which connection the request goes."""
        self._connection = connection
        if not self._has_body:
            self._timer.start()

    def after(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Give the body of the request; its answer is waited for from its end on."""
        self._has_body = True

        def blocks() -> Iterator[bytes]:
            yield from body
            self._timer.start()

        return blocks()

    def end(self) -> None:
        """The answer is there, or is not waited for any more."""
        self._timer.cancel()

    def _cut(self) -> None:
        self.is_over = True
        if self._connection is not None:
            with suppress(OSError):  # it may be closed already
                # Not the method of an SSLSocket: that one takes the TLS layer away as well.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


def _pools(client: Client) -> dict[str, Any]:
    """Pools of urllib3 whose connections tell the client over which socket they send."""

    def tell(connection: HTTPConnection) -> None:
        if connection.sock is None:
            connection.connect()
        client.sends_over(connection.sock)

    class Plain(HTTPConnection):
        def request(self, *arguments: Any, **options: Any) -> None:
            tell(self)
            super().request(*arguments, **options)

    class Secure(HTTPSConnection):
        def request(self, *arguments: Any, **options: Any) -> None:
            tell(self)
            super().request(*arguments, **options)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Away(f"{path} cannot be read ({type(error).__name__})") from error


def _words(error: Exception) -> str:
    # Their texts hold addresses of objects and whole URLs; the class says enough.
    inner = error.args[-1] if error.args else error
    return type(inner if isinstance(inner, Exception) else error).__name__
