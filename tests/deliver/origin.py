"""An origin server on loopback: STOW-RS and QIDO-RS, with answers of the test's choice."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.config.destination import DicomwebDestination

JSON = "application/dicom+json"


def element(vr: str, *values: Any) -> dict[str, Any]:
    """One element of the DICOM JSON Model."""
    return {"vr": vr, "Value": list(values)}


class Origin:
    """A server that keeps data sets in memory.

    Attributes
    ----------
    answer
        Data set → failure reason; 0x0000 stores it, 0xBxxx stores it with a warning.
    http
        Answers every request with this status and nothing else, if it is set.
    loses
        Whether it says that it has stored what it has not.
    pages
        Whether it lists no more than it is asked for.
    headers
        Of each request, in order.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.stored: list[Dataset] = []
        self.answer: Callable[[Dataset], int] = lambda _ds: 0x0000
        self.http: int | None = None
        self.loses = False
        self.pages = True
        self.body: bytes | None = None
        self.headers: list[dict[str, str]] = []
        self.content: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def store(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """Store one instance; HTTP status and answer (PS3.18 Section 10.5.3)."""
        ds = dcmread(BytesIO(content))
        status = self.answer(ds)
        item = {
            "00081150": element("UI", str(ds.SOPClassUID)),
            "00081155": element("UI", str(ds.SOPInstanceUID)),
        }
        if status and status & 0xF000 != 0xB000:
            return 409, {"00081198": element("SQ", {**item, "00081197": element("US", status)})}
        if not self.loses:
            self.stored.append(ds)
            self.content.append(content)
        if status:
            return 202, {"00081199": element("SQ", {**item, "00081196": element("US", status)})}
        return 200, {"00081199": element("SQ", item)}

    def instances(self, series_instance_uid: str) -> list[dict[str, Any]]:
        """What it lists of a series."""
        return [
            {"00080018": element("UI", str(ds.SOPInstanceUID))}
            for ds in self.stored
            if ds.SeriesInstanceUID == series_instance_uid
        ]


@contextmanager
def origin(**options: Any) -> Iterator[Origin]:
    """A server for the length of a block."""
    running = Origin(**options)
    try:
        yield running
    finally:
        running.stop()


def web_destination(port: int, **difference: object) -> DicomwebDestination:
    """A destination on loopback."""
    plain = {"kind": "dicomweb", "url": f"http://127.0.0.1:{port}/dicom-web", "timeout_s": 5}
    return DicomwebDestination.model_validate({**plain, **difference})


def _handler(server: Origin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.headers.append(dict(self.headers))
            if server.http is not None:
                self._respond(server.http, server.body)
                return
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            (part,) = BytesParser().parsebytes(head + body).get_payload()
            assert part.get_content_type() == "application/dicom"
            # Not the parser's payload: it is text, and changes the ends of lines.
            begin = body.index(b"\r\n\r\n") + 4
            end = body.rindex(b"\r\n--")
            status, said = server.store(body[begin:end])
            self._respond(status, json.dumps(said).encode())

        def do_GET(self) -> None:
            server.headers.append(dict(self.headers))
            if server.http is not None:
                self._respond(server.http, server.body)
                return
            path = self.path.partition("?")[0].split("/")
            found = server.instances(path[path.index("series") + 1]) if "series" in path else []
            if server.pages:
                asked = parse_qs(urlsplit(self.path).query)
                offset, limit = (int(asked.get(n, ["0"])[0]) for n in ("offset", "limit"))
                found = found[offset : offset + limit]
            self._respond(200 if found else 204, json.dumps(found).encode() if found else None)

        def _respond(self, status: int, body: bytes | None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body or b"")))
            if body:
                self.send_header("Content-Type", JSON)
            self.end_headers()
            self.wfile.write(body or b"")

    return Handler
