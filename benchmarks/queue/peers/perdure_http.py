"""Perdure with a server between: the producer is `AsyncClient`, the door is `perdure serve`, the worker is the same."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body

from perdure.client.address import address_file
from perdure.client.aio import AsyncClient
from perdure.client.new import NewMessageJson

START_S = 30.0


class Contender(Peer):
    """One server process; the client's pool of connections; everything at its defaults."""

    bulk = True
    settings = "AsyncClient to `perdure serve`, defaults"

    async def open(self, callers: int) -> None:
        ask = {"PERDURE_SERVER__PORT": "0", "PERDURE_SERVER__ALLOW_UNREGISTERED": "true"}
        self._server = subprocess.Popen([sys.executable, "-m", "perdure", "serve"], env=os.environ | ask, stdin=subprocess.DEVNULL)
        place = address_file(Path(os.environ["PERDURE_DATA"]))
        for _ in range(int(START_S / 0.05)):
            if place.exists():
                break
            await asyncio.sleep(0.05)
        self._client = AsyncClient()

    async def close(self) -> None:
        await self._client.aclose()
        self._server.send_signal(signal.SIGTERM)
        self._server.wait(20)

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        priority = 0 if urgent else 5
        if len(bodies) == 1:
            await self._client.send("bench", bodies[0], priority=priority)
        else:
            await self._client.send_many([NewMessageJson(agent="bench", body=one, priority=priority) for one in bodies])

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def finished(self) -> int:
        return sum(queue["counts"].get("done", 0) for queue in await self._client.queues())
