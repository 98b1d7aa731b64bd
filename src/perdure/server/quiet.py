"""A line on which nothing is said for a while, kept open by comments."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Send

from perdure.clock import awake
from perdure.wire.sse import encode_comment

_PING = encode_comment("ping")

__all__ = ["KeptOpen"]


class KeptOpen:
    """Sends pieces, and a comment whenever none came for a while.

    One task looks now and then; a piece costs no more than noting when it went out.

    Args:
        send (Send): As ASGI gives it.
        ping_s (float | None): How long nothing may be said; None for ever.
    """

    def __init__(self, send: Send, ping_s: float | None) -> None:
        self._send = send
        self._ping_s = ping_s
        self._sent_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to look.

        Returns:
            Self: To be sent to.
        """
        self._sent_at = awake()
        if self._ping_s is not None:
            self._looking = asyncio.create_task(self._look(self._ping_s))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Look no more.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    async def send(self, piece: bytes) -> None:
        """Send a piece; waits while the caller reads slower than we write.

        Args:
            piece (bytes): Whole events.
        """
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        self._sent_at = awake()

    async def _look(self, ping_s: float) -> None:
        while True:
            left = self._sent_at + ping_s - awake()
            await asyncio.sleep(max(left, ping_s / 10))
            if awake() - self._sent_at >= ping_s:
                await self.send(_PING)
