"""Perdure: put through its Python store, worked by `perdure worker`. Which database is only an address."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body

from perdure.app import open_store
from perdure.config.manager import ConfigManager
from perdure.messages.message import NORMAL, URGENT, NewMessage


class Contender(Peer):
    """Concurrent puts share commits; results are stored; everything at its defaults."""

    bulk = True
    settings = "defaults"

    async def prepare(self) -> None:
        await self.open(1)
        await self.close()

    async def open(self, callers: int) -> None:
        manager = ConfigManager()
        manager.load("")
        self._store = open_store(manager.settings)
        await self._store.__aenter__()

    async def close(self) -> None:
        await self._store.__aexit__(None, None, None)

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        priority = URGENT if urgent else NORMAL
        await self._store.messages.put([NewMessage(agent="bench", body=msgspec.json.encode(one), priority=priority) for one in bodies])

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def grow(self, n: int) -> None:
        some = [NewMessage(agent="bench", body=msgspec.json.encode(body()))] * 1000
        for _ in range(n // 1000):
            await self._store.messages.put(some)

    async def finished(self) -> int:
        return sum(queue.counts.get("done", 0) for queue in await self._store.messages.queues())
