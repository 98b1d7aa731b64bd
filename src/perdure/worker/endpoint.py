"""The endpoint of runs: OpenAI's wire for frameworks inside agents, on loopback, one for all runs of a worker (SEMANTICS 17).

Theory of operation: nothing listens until a run is first asked for its address. The socket is bound there and then, from
whichever thread asks, so that the address is known; who connects before the loop has come to it waits in the backlog. A token
names run and lease; with them it dies. Errors always say `x-should-retry: false`: the run has retried already, and a client
that tried again would be one layer too many.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextvars import Context
from typing import TYPE_CHECKING

from perdure.agents.endpoint import Address, Calls
from perdure.errors.base import Unauthenticated
from perdure.worker.passes import Pass, Passes

if TYPE_CHECKING:
    from perdure.worker.answering import Answering

__all__ = ["Endpoint"]

_HOST = "127.0.0.1"
_BACKLOG = 512
_STOP_S = 1.0


class Endpoint:
    """Of one worker."""

    def __init__(self) -> None:
        self._passes = Passes()
        self._runs: dict[Pass, Calls] = {}
        self._lock = threading.Lock()
        self._url: str | None = None
        self._answering: Answering | None = None
        self._listening: asyncio.Task[None] | None = None

    def open(self, message: int, lease: int, calls: Calls, loop: asyncio.AbstractEventLoop) -> Address:
        """Let clients in for a run. From any thread."""
        whose = Pass(message, lease)
        with self._lock:
            if self._url is None:
                self._url = self._listen(loop)
            self._runs[whose] = calls
        return Address(self._url, self._passes.make(whose))

    def close(self, message: int, lease: int) -> None:
        """Let nobody in any more."""
        self._runs.pop(Pass(message, lease), None)

    async def close_all(self) -> None:
        """Stop listening, if anybody ever did."""
        self._runs.clear()
        if self._listening is not None:
            await self._listening
        if self._answering is not None:
            await self._answering.stop(_STOP_S)

    def calls_of(self, token: str) -> Calls | None:
        """Find the run that a token is for.

        Args:
            token (str): What a client sent.

        Returns:
            Calls | None: None if the run has ended.

        Raises:
            Unauthenticated: No run of this worker ever had it.
        """
        whose = self._passes.read(token)
        if whose is None:
            raise Unauthenticated("this is no key of a run of this worker", hint="Give the client `run.openai_api_key`.")
        return self._runs.get(whose)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> str:
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.bind((_HOST, 0))
        opened.listen(_BACKLOG)
        opened.settimeout(0.0)
        host = f"{_HOST}:{opened.getsockname()[1]}"
        loop.call_soon_threadsafe(self._begin, opened, host, context=Context())  # else all connections inherit the scope of the first run
        return f"http://{host}"

    def _begin(self, opened: socket.socket, host: str) -> None:
        from perdure.worker.answering import Answering  # late: it imports aiohttp

        self._answering = Answering(self.calls_of, host)
        self._listening = asyncio.get_running_loop().create_task(self._answering.listen(opened))
