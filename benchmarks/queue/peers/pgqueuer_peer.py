"""PgQueuer: asyncpg; it stores no result: a finished message is deleted and logged."""

from __future__ import annotations

import json
from collections.abc import Sequence

import asyncpg
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


class Contender(Peer):
    """Batches of half the concurrency; its completions are flushed in batches of their own."""

    bulk = True
    settings = "batch_size = slots / 2 (the most it allows), max_concurrent_tasks = slots; no result"

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def open(self, callers: int) -> None:
        self._pool = await asyncpg.create_pool(self.dsn, min_size=min(callers, 20), max_size=max(2, min(callers, 20)))
        self._queries = Queries(AsyncpgPoolDriver(self._pool))

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        priority = 10 if urgent else 0
        if len(bodies) == 1:
            await self._queries.enqueue("bench", json.dumps(bodies[0]).encode(), priority)
        else:
            n = len(bodies)
            await self._queries.enqueue(["bench"] * n, [json.dumps(one).encode() for one in bodies], [priority] * n)

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def grow(self, n: int) -> None:
        for _ in range(n // 1000):
            await self.put([body()] * 1000)

    async def finished(self) -> int:
        return int(await self._pool.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"))

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.dsn)))

        @worker.entrypoint("bench", concurrency_limit=1 if slots == 1 else 0)
        async def bench(job: Job) -> None:
            await perform(json.loads(job.payload or b"{}"))

        await worker.run(batch_size=max(1, slots // 2), max_concurrent_tasks=max(2, slots))
