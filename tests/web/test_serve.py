"""The status site on a socket."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from node.config.model import Web
from node.errors import ConfigError
from node.web.app import serve

ENOUGH_S = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def connected(port):
    """A connection that is there once the site listens."""
    deadline = time.monotonic() + ENOUGH_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ENOUGH_S)
        try:
            connection.connect()
        except ConnectionRefusedError:
            connection.close()
            assert time.monotonic() < deadline
        else:
            return connection


@contextmanager
def served(past, port):
    """Serve in a thread; yield the thread and the event that ends it."""
    stop = Event()
    parts = (past.index, past.ledger, past.quarantine)
    thread = Thread(target=serve, args=(Web(port=port), *parts, stop))
    thread.start()
    try:
        yield thread, stop
    finally:
        stop.set()
        thread.join(ENOUGH_S)


def test_it_serves_until_it_is_told_to_stop(past):
    """A browser that keeps its connection open does not hold the node back."""
    port = free_port()
    with served(past, port) as (thread, stop):
        browser = connected(port)
        browser.request("GET", "/healthz")
        with browser.getresponse() as answer:
            assert (answer.status, json.load(answer)) == (200, {"database": "answers"})
            assert answer.headers["Server"] is None

        stop.set()
        thread.join(ENOUGH_S)

        assert not thread.is_alive()
        browser.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_requests_are_not_logged(past, caplog):
    caplog.set_level(logging.INFO)
    port = free_port()
    with served(past, port):
        browser = connected(port)
        browser.request("GET", "/studies/1.2.3")
        browser.getresponse().read()
        browser.close()

    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_a_taken_port_is_a_mistake_in_the_configuration(past):
    with socket.create_server(("127.0.0.1", 0)) as other:
        web = Web(port=other.getsockname()[1])

        with pytest.raises(ConfigError, match=r"^web\.port: .*Address already in use"):
            serve(web, past.index, past.ledger, past.quarantine, Event())


def test_an_address_of_another_machine_is_a_mistake_in_the_configuration(past):
    web = Web(host="192.0.2.1", port=free_port())

    with pytest.raises(ConfigError, match=r"^web\.host: cannot listen on 192\.0\.2\.1"):
        serve(web, past.index, past.ledger, past.quarantine, Event())


def test_an_unusable_host_name_is_a_mistake_in_the_configuration(past):
    web = Web(host="x" * 64, port=free_port())

    with pytest.raises(ConfigError, match=r"^web\.host: cannot resolve"):
        serve(web, past.index, past.ledger, past.quarantine, Event())
