"""The wire of single commands: the standard library's client, which is there at once.

A command makes a request or two and ends, so it needs no pool, and most of its time would go into
importing one. Each request has a thread and a connection of its own; a thread is left behind if nobody
waits for it any more, so that Ctrl-C ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from perdure.client.wires import Reply, broke, not_connected, too_late
from perdure.errors.base import ServerUnreachable

CONNECT_S = 10.0

__all__ = ["PlainWire"]


class PlainWire:
    """A connection for each request."""

    async def carry(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send a request and bring the answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()

        def go() -> None:
            said: Reply | ServerUnreachable
            try:
                said = _carry(method, url, headers, body, timeout_s)
            except ServerUnreachable as error:
                said = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, answer, said)

        threading.Thread(target=go, name="perdure-request", daemon=True).start()
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            raise too_late(url, timeout_s) from error

    async def aclose(self) -> None:
        """Close all connections: none is kept."""


def _settle(answer: asyncio.Future[Reply], said: Reply | ServerUnreachable) -> None:
    if answer.done():
        return
    if isinstance(said, ServerUnreachable):
        answer.set_exception(said)
    else:
        answer.set_result(said)


def _carry(method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=min(timeout_s, CONNECT_S))
    try:
        try:
            connection.connect()
        except OSError as error:
            raise not_connected(url, error.strerror or error) from error
        connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, dict(headers))
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(), answer.getheader("Retry-After"))
        except TimeoutError as error:
            raise too_late(url, timeout_s) from error
        except (http.client.HTTPException, OSError) as error:
            raise broke(url, error) from error
    finally:
        connection.close()
