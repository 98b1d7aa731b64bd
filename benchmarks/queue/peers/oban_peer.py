"""Oban for Python: psycopg, results kept as recorded values, woken by NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform
from oban import Oban, Record, worker
from oban.schema import install


@worker(queue="bench")
class Work:
    """One message."""

    async def process(self, job: Any) -> Any:
        return Record(await perform(job.args))


class Contender(Peer):
    """Its own pool of 10 connections."""

    bulk = True
    settings = "Record(result), LISTEN/NOTIFY, pool of 10"

    async def prepare(self) -> None:
        pool = await Oban.create_pool(self.dsn)
        await install(pool)
        await pool.close()

    async def open(self, callers: int) -> None:
        self._pool = await Oban.create_pool(self.dsn, min_size=1, max_size=max(2, min(callers, 20)))
        self._oban = Oban(pool=self._pool)
        await self._oban.start()

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        jobs = [Work.new(one, priority=0 if urgent else 3) for one in bodies]
        if len(jobs) == 1:
            await self._oban.enqueue(jobs[0])
        else:
            await self._oban.enqueue_many(jobs)

    async def fill(self, bodies: Sequence[Body]) -> None:
        await self.put(bodies)

    async def grow(self, n: int) -> None:
        await self.put([body()])
        same = "state, queue, worker, attempt, max_attempts, priority, args, meta, tags, errors, attempted_by, inserted_at, scheduled_at"
        async with self._pool.connection() as connection:
            await connection.execute(f"INSERT INTO oban_jobs ({same}) SELECT {same} FROM oban_jobs, generate_series(2, {n})")

    async def finished(self) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute("SELECT count(*) FROM oban_jobs WHERE state = 'completed'")).fetchone()
            return int(row[0])

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        pool = await Oban.create_pool(self.dsn)
        async with Oban(pool=pool, queues={"bench": slots}):
            await asyncio.Event().wait()
