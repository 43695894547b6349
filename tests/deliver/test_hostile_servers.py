"""Origin servers that hang or drip: each request ends within its timeout."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.config.destination import DicomwebDestination
from node.deliver.dicomweb import Link, held
from node.deliver.objects import read_file
from node.errors import TransientError
from tests.builders import ct_series, write
from tests.deliver.peers import drip, raw_peer, until_the_end

pytestmark = pytest.mark.loopback

ENDS_WITHIN_S = 20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"


def query(server, _file):
    return held(server, "1.2.3", ["1.2.3.4"])


def store(server, file):
    return Link(server).store(file)


def trickle(raw):
    """A line of the head now and then, for ever."""
    raw.connection.sendall(HEAD)
    pause = threading.Event()
    while not pause.wait(0.1):
        raw.connection.sendall(b"X-Wait: a little\r\n")


@pytest.mark.parametrize("ask", [query, store])
@pytest.mark.parametrize(
    "behave",
    [
        lambda _raw: None,
        lambda raw: raw.connection.sendall(HEAD),
        trickle,
        lambda raw: drip(raw, HEAD + b"Content-Length: 5000\r\n\r\n" + bytes(5000)),
        lambda raw: drip(raw, HEAD + b"Connection: close\r\n\r\n" + b"[" * 5000),
    ],
    ids=["nothing", "half a head", "lines for ever", "byte by byte", "byte by byte to the end"],
)
def test_a_server_of_no_use_ends_the_request_within_the_timeout(tmp_path, ask, behave):
    [path] = write(ct_series(slices=1, rows=16, columns=16), tmp_path)
    file = read_file(path)

    def run(raw):
        raw.connection.recv(65536)
        behave(raw)
        until_the_end(raw)

    with raw_peer(run) as port:
        server = DicomwebDestination(kind="dicomweb", url=f"http://127.0.0.1:{port}", timeout_s=0.5)
        pool = ThreadPoolExecutor(1)
        asked = pool.submit(ask, server, file)
        pool.shutdown(wait=False)

        assert isinstance(asked.exception(ENDS_WITHIN_S), TransientError)
