"""awa: a Rust core under Python handlers; it keeps a message's state, no result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psycopg
from awa import AsyncClient
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform


@dataclass
class Bench:
    """A message's body."""

    n: int
    do: str
    s: float
    text: str


class Contender(Peer):
    """Its queue storage, at its defaults."""

    bulk = True
    settings = "queue storage, defaults, COPY for bulk; no result"

    async def prepare(self) -> None:
        client = AsyncClient(self.dsn)
        await client.migrate()
        await client.install_queue_storage()
        await client.close()

    async def open(self, callers: int) -> None:
        self._client = AsyncClient(self.dsn, max_connections=max(2, min(callers, 20)))

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        priority = 2 if urgent is None else 1 if urgent else 4
        if len(bodies) == 1:
            await self._client.insert(Bench(**bodies[0]), queue="bench", priority=priority)
        else:
            await self._client.enqueue_many_copy([Bench(**one) for one in bodies], queue="bench", priority=priority)

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def grow(self, n: int) -> None:
        some = [body()] * 1000
        for _ in range(n // 1000):
            await self.put(some)

    async def finished(self) -> int:
        def count() -> int:
            with psycopg.connect(self.dsn) as connection:
                row = connection.execute("SELECT count(*) FROM awa.jobs WHERE state = 'completed'").fetchone()
                return int(row[0]) if row else 0

        return await asyncio.to_thread(count)

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        client = AsyncClient(self.dsn, max_connections=20)

        @client.task(Bench, queue="bench")
        async def bench(job: object) -> None:
            await perform(asdict(job.args))  # type: ignore[attr-defined]

        await client.start([("bench", slots)])
        await asyncio.Event().wait()
