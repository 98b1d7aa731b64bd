"""arq on Redis: async functions, results in Redis, looks every 0.5 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, marks, perform


async def bench(ctx: dict[str, Any], given: Body) -> Body:
    """One message."""
    return await perform(given)


class Contender(Peer):
    """It has no priorities."""

    priorities = False
    settings = "max_jobs = slots, poll_delay 0.5 s and job_timeout 300 s (defaults)"

    async def open(self, callers: int) -> None:
        self._pool = await create_pool(RedisSettings.from_dsn(self.redis))

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            await self._pool.enqueue_job("bench", one)

    async def finished(self) -> int:
        return sum([1 async for _ in self._pool.scan_iter(match="arq:result:*", count=10000)])

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        worker = Worker([bench], redis_settings=RedisSettings.from_dsn(self.redis), max_jobs=slots, handle_signals=False)
        await worker.async_run()
