"""Answers: a whole one, and one that comes piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import Receive, Send

from perdure.server.gone import while_there
from perdure.server.quiet import KeptOpen

JSON = "application/json"
PROBLEM = "application/problem+json"

__all__ = ["JSON", "PROBLEM", "Answer", "Streamed", "json_answer"]


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    async def send(self, receive: Receive, send: Send) -> None:  # noqa: ARG002 - `Streamed` needs it
        """Write it to the caller.

        Args:
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        headers = [*self.headers, ("content-length", str(len(self.body)))]
        if self.body or self.status not in (204, 303, 304):
            headers.append(("content-type", self.media_type))
        await send({"type": "http.response.start", "status": self.status, "headers": _raw(headers)})
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True)
class Streamed:
    """An answer in pieces. Its source is closed at once when the caller goes away."""

    pieces: AsyncGenerator[bytes, None]
    status: int = 200
    media_type: str = "text/event-stream; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
    ping_s: float | None = None
    """When nothing has come for so long, a comment is sent, so that no proxy thinks the line dead."""
    is_whole: Callable[[], bool] = lambda: True
    """Tells whether the piece that came last is the end of a whole answer; False while it goes on, and for ever if it broke."""

    async def send(self, receive: Receive, send: Send) -> None:
        """Write it to the caller, piece by piece.

        Args:
            receive (Receive): As ASGI gives it; tells when the caller is gone.
            send (Send): As ASGI gives it.
        """
        headers = _raw([*self.headers, ("content-type", self.media_type)])
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await while_there(receive, self._pour(send))

    async def _pour(self, send: Send) -> bool:
        # A generator that is only dropped would close its upstream whenever it is collected; this closes it now.
        open_ = KeptOpen(send, self.ping_s)
        async with aclosing(self.pieces) as pieces, open_:
            async for piece in pieces:
                await open_.send(piece)
        await send({"type": "http.response.body", "body": b""})
        return True


def json_answer(value: Any, status: int = 200, *, media_type: str = JSON, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Make an answer of plain data.

    Args:
        value (Any): What `msgspec` can write.
        status (int): The HTTP status.
        media_type (str): Its content type.
        headers (tuple[tuple[str, str], ...]): Further headers.

    Returns:
        Answer: Ready to be sent.
    """
    return Answer(status, msgspec.json.encode(value), media_type, headers)


def _raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
