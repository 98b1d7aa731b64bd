"""TaskIQ on Redis streams (its acknowledging broker), results in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis.asyncio
from benchmarks.queue.peer import Peer
from benchmarks.queue.work import Body, body, marks, perform
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker


class Contender(Peer):
    """Its Redis broker knows no priorities."""

    priorities = False
    settings = "RedisStreamBroker, Redis results, idle_timeout 600 s (default)"

    async def open(self, callers: int) -> None:
        self._broker = RedisStreamBroker(self.redis, consumer_id="0").with_result_backend(RedisAsyncResultBackend(self.redis))

        @self._broker.task(task_name="bench")
        async def bench(given: Body) -> Body:
            return await perform(given)

        self._task = bench
        await self._broker.startup()
        self._line = redis.asyncio.Redis.from_url(self.redis)

    async def put(self, bodies: Sequence[Body], *, urgent: bool | None = None) -> None:
        for one in bodies:
            await self._task.kiq(one)

    async def grow(self, n: int) -> None:
        await self.put([body()])
        [(_, fields)] = await self._line.xrange("taskiq", count=1)
        for at in range(1, n, 1000):
            async with self._line.pipeline(transaction=False) as pipe:
                for _ in range(min(1000, n - at)):
                    pipe.xadd("taskiq", fields)
                await pipe.execute()

    async def finished(self) -> int:
        skipped = {b"taskiq"}
        return sum([1 async for key in self._line.scan_iter(count=10000) if key not in skipped and not key.startswith(b"autoclaim")])

    async def work(self, slots: int) -> None:
        marks().wait_at_gate()
        await self.open(slots)
        self._broker.is_worker_process = True
        await run_receiver_task(self._broker, max_async_tasks=slots, run_startup=True)
        await asyncio.Event().wait()
