"""The store, driven the way programs drive it: many callers at once, each waiting for its own answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.messages.message import Lease, NewMessage
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.resources.usage import Usage
from perdure.stores.sqlite.store import SqliteStore

USAGE = Usage(calls=1)


async def by_many(callers: int, calls: Sequence[Callable[[], Awaitable[object]]]) -> float:
    """Make calls by so many callers at once.

    Args:
        callers (int): How many at once.
        calls (Sequence[Callable[[], Awaitable[object]]]): What to call.

    Returns:
        float: How long it took.
    """
    left = iter(calls)

    async def caller() -> None:
        for call in left:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.perf_counter() - began


class Ours:
    """An open store and a worker of it.

    Args:
        store (SqliteStore): Open.
    """

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.worker = store, None

    async def put(self, bodies: list[bytes], callers: int, each: int = 1) -> float:
        """Put messages, some in each call."""
        new = [NewMessage(agent="mail", body=body) for body in bodies]
        return await by_many(callers, [lambda at=at: self.store.messages.put(new[at : at + each]) for at in range(0, len(new), each)])

    async def lease(self, n: int, limit: int) -> tuple[float, list[Lease]]:
        """Lease messages, as one worker does."""
        if self.worker is None:
            card = WorkerCard(host="here", pid=1, slots=limit, agents=[AgentCard(name="mail", version="1")])
            self.worker = await self.store.workers.register(card)
        leases: list[Lease] = []
        began = time.perf_counter()
        while len(leases) < n:
            routes = await self.store.messages.routes()
            leases += await self.store.messages.lease(routes, limit=limit, worker=self.worker)
        return time.perf_counter() - began, leases

    async def done(self, leases: list[Lease], result: bytes, callers: int) -> float:
        """Finish messages, one in each call."""
        return await by_many(
            callers, [lambda one=one: self.store.messages.done(one, result, usage=USAGE, code_version="1") for one in leases]
        )

    async def journal(self, leases: list[Lease], number: int, request: bytes, result: bytes, callers: int) -> float:
        """Intend and record one step of each run."""
        intent = Intent(number=number, key=StepKey("", StepKind.LLM, "ask", "f", 0), request=request)

        async def step(lease: Lease) -> None:
            await self.store.journal.intend(lease, intent)
            await self.store.journal.record(lease, number, result, usage=USAGE)

        return await by_many(callers, [lambda one=one: step(one) for one in leases])
