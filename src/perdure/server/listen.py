"""Uvicorn, set up for this server.

Uvicorn's fast parser puts no limit on headers; here a request whose line and headers grow beyond 32 KiB
is refused before anybody holds more. Nothing is logged by uvicorn: its access log would write query
strings. Signals stay with the command that runs us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perdure.server.core import Core

HEADERS_BYTES = 32 * 1024
HEADERS_S = 30.0
"""How long the address and headers of a request may take; whoever is slower holds a connection of everybody's."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 45\r\nconnection: close\r\n\r\nthe address and headers are larger than 32 KiB"
)

__all__ = ["HEADERS_BYTES", "HEADERS_S", "listener"]


class _Server(uvicorn.Server):
    """Leaves signals alone, and sends waiting callers home when it stops."""

    def __init__(self, config: uvicorn.Config, core: Core) -> None:
        super().__init__(config)
        self._core = core

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await self._core.feed.close()
        await super().shutdown(sockets)  # type: ignore[arg-type]


class _Protocol(HttpToolsProtocol):
    """Counts what it reads until the headers have ended.

    A piece from the socket may hold the end of one request and the beginning of the next; what of it
    belongs to which is not known, and then it is counted for neither.
    """

    _head_bytes = 0
    _piece_bytes = 0
    _in_head = True
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADERS_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece_bytes = len(data)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEADERS_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, self._piece_bytes
        if self._late is None:
            self._late = self.loop.call_later(HEADERS_S, self.transport.close)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes, self._piece_bytes = True, 0, 0

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def listener(app: Starlette, *, host: str, port: int, grace_s: int = 10) -> uvicorn.Server:
    """Make what listens for an application.

    Args:
        app (Starlette): As `make_server` makes it.
        host (str): Where to listen; unused where sockets are handed to `serve`.
        port (int): Where to listen; 0 for any.
        grace_s (int): What requests under way get when it stops.

    Returns:
        uvicorn.Server: `await server.serve(sockets=[…])`; it ends after `server.should_exit = True`.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace_s,
        backlog=2048,
    )
    return _Server(config, app.state.core)
