"""One connection as something to read from and write to, with limits to both.

Not asyncio's streams: over TLS, those of Python 3.11 count as open after they were closed.
"""

from __future__ import annotations

import asyncio
from typing import Final

HIGH_WATER_BYTES: Final = 131072
"""Received and not yet read: beyond, nothing more is taken from the connection."""


class Stream(asyncio.Protocol):
    """What has come of a connection, until it is read."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_paused = False
        self._has_ended = False
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called by the loop."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP connection
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes; called by the loop."""
        self._received += data
        self._news.set()
        if len(self._received) > HIGH_WATER_BYTES and self.transport is not None:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends nothing more; called by the loop. It may still wait for an answer."""
        self._has_ended = True
        self._news.set()
        # TLS has no half of a connection.
        return self.transport is not None and not self.transport.get_extra_info("sslcontext")

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone; called by the loop."""
        self._has_ended = self._is_lost = True
        self._news.set()
        self._room.set()

    def pause_writing(self) -> None:
        """Too much waits to be sent; called by the loop."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It does not any more; called by the loop."""
        self._room.set()

    async def read(self) -> bytes:
        """Wait for bytes; empty when no more will come."""
        while not self._received and not self._has_ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._is_paused and self.transport is not None and not self._has_ended:
            self._is_paused = False
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait as long as too much has not been taken."""
        if self.transport is None or self._is_lost:
            raise ConnectionResetError("the caller has hung up")
        self.transport.write(data)
        await self._room.wait()
