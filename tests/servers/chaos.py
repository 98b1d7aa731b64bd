"""A network that breaks on demand: a proxy between a client and a server on loopback."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Chaos"]

_CHUNK_BYTES = 65536
_HARD = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: closing says `connection reset`, as a dead machine's router would."""


class Chaos:
    """Forwards connections to the server of an address, until it is told otherwise.

    It lives on the loop of the test and listens on `host`. `url` is the same address through the proxy.
    """

    def __init__(self, url: str, *, host: str = "127.0.0.1") -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, f"{url!r} names no host"
        assert parts.port is not None, f"{url!r} names no port"
        self._parts = parts
        self._upstream: tuple[str, int] = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._host = host
        self._port = 0
        self._links: set[_Link] = set()
        self.going: asyncio.Event = asyncio.Event()
        self.connections = 0
        """How many were ever accepted."""
        self._left_bytes: int | None = None
        self._loses_answer, self._lost_to = False, b""

    @property
    def url(self) -> str:
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}{self._host}:{self._port}"))

    @property
    def open(self) -> int:
        """Connections under way."""
        return len(self._links)

    def cut(self) -> None:
        """End every connection with a reset. New ones are accepted."""
        for link in list(self._links):
            link.cut()

    def cut_after(self, sent_bytes: int) -> None:
        """End every connection once clients have sent so many more bytes: in the middle of a call."""
        self._left_bytes = sent_bytes

    def lose_answer(self, to: bytes = b"") -> None:
        """Let the next thing a client sends arrive, and cut its connection in place of the answer; or the next that has `to` in it."""
        self._loses_answer, self._lost_to = True, to

    def stall(self) -> None:
        """Forward nothing; connections stay open, new ones are accepted, as if packets were lost."""
        self.going.clear()

    async def refuse(self) -> None:
        """End every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def heal(self) -> None:
        """Forward again, whatever was wrong."""
        self._left_bytes, self._loses_answer = None, False
        self.going.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self._host, self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.refuse()
        while self._links:
            await asyncio.sleep(0)

    def sees(self, link: _Link, sent: bytes) -> bytes:
        """Decide what of that which a client has sent goes on."""
        if self._left_bytes is not None:
            sent, self._left_bytes = sent[: self._left_bytes], self._left_bytes - len(sent)
        if self._loses_answer and self._lost_to in sent:
            self._loses_answer, link.deaf = False, True
        return sent

    def after_sending(self) -> None:
        """Cut, if enough was sent."""
        if self._left_bytes is not None and self._left_bytes <= 0:
            self._left_bytes = None
            self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(self, writer)
        self._links.add(link)
        try:
            await link.live(reader, self._upstream)
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(self, chaos: Chaos, client: asyncio.StreamWriter) -> None:
        self._chaos = chaos
        self._ends = [client]
        self._lives = asyncio.Event()
        self.deaf = False
        """The next answer is lost, and the connection with it."""

    async def live(self, client: asyncio.StreamReader, upstream: tuple[str, int]) -> None:
        try:
            await self._chaos.going.wait()
            server, to_server = await asyncio.open_connection(*upstream)
            self._ends.append(to_server)
            both = [asyncio.create_task(self._up(client, to_server)), asyncio.create_task(self._down(server, self._ends[0]))]
            cut = asyncio.create_task(self._lives.wait())
            await asyncio.wait([*both, cut], return_when=asyncio.FIRST_COMPLETED)
            for one in (*both, cut):
                one.cancel()
            await asyncio.gather(*both, cut, return_exceptions=True)
            await self._close()
        except OSError:
            pass  # the server is not there: the client is cut off
        finally:
            self.cut()

    async def _close(self) -> None:
        """What either side said last still arrives, unless the connection was cut."""
        if self._lives.is_set() or self.deaf:
            return
        for end in self._ends:
            end.close()
        for end in self._ends:
            await end.wait_closed()

    def cut(self) -> None:
        self._lives.set()
        for end in self._ends:
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)
            end.transport.abort()

    async def _up(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while sent := await client.read(_CHUNK_BYTES):
            await self._chaos.going.wait()
            server.write(self._chaos.sees(self, sent))
            await server.drain()
            self._chaos.after_sending()

    async def _down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while answer := await server.read(_CHUNK_BYTES):
            await self._chaos.going.wait()
            if self.deaf:
                return
            client.write(answer)
            await client.drain()
