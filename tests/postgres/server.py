"""A PostgreSQL server of our own, from Debian's binaries, for the length of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.builders.network import free_port

DEBIAN = Path("/usr/lib/postgresql")
SUPERUSER = "wetread"
ACCOUNT = "postgres"
"""The server refuses to run as root; Debian's package brings this account."""


def missing() -> str | None:
    """Why there can be no server here, or None."""
    for program in ("initdb", "pg_ctl", "postgres"):
        if _program(program) is None:
            return f"PostgreSQL's {program} is not installed (make test-deps)"
    if os.geteuid() == 0 and ACCOUNT not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no account {ACCOUNT}"
    return None


class Server:
    """A running server on loopback that keeps nothing.

    Parameters
    ----------
    folder
        Empty; the server's account owns it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._numbers = count(1)

    def start(self) -> None:
        """Make a cluster and start it."""
        data = self._folder / "data"
        options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust")
        self._run("initdb", "-D", data, "-U", SUPERUSER, *options)
        self._begin()

    def restart(self) -> None:
        """Stop it with all its connections, as after a crash, and start it on the same port."""
        self.stop()
        self._begin()

    def _begin(self) -> None:
        settings = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self._folder} -c fsync=off"
        )
        data, log = self._folder / "data", self._folder / "log"
        self._run("pg_ctl", "-D", data, "-l", log, "-o", settings, "-w", "start")

    def stop(self) -> None:
        """Stop it, whoever is still connected."""
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")

    def new_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        name = f"wetread_{next(self._numbers)}"
        where = f"host=127.0.0.1 port={self._port} user={SUPERUSER} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{self._port}/{name}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        as_account = ["runuser", "-u", ACCOUNT, "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_account, str(_program(program)), *map(str, arguments)],
            # The server inherits it: a pipe would stay open for as long as that runs.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{program} failed; see {self._folder / 'log'}"


@contextmanager
def running_server() -> Iterator[Server]:
    """A server in a folder that its account can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="wetread-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT)
    server = Server(folder)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _program(name: str) -> Path | None:
    found = sorted(DEBIAN.glob(f"*/bin/{name}")) or [shutil.which(name)]
    return Path(found[-1]) if found[-1] else None
