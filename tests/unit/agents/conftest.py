"""A world for one agent: a store in memory, a clock that a test moves, a provider with a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from perdure import events
from perdure.agents.agent import Agent
from perdure.agents.journal import Decision, Step
from perdure.agents.parts import Ending, Failed, Finished, Parked, RunParts
from perdure.agents.perform import perform
from perdure.messages.message import Lease, MessageId, NewMessage
from perdure.messages.registry import WorkerCard
from perdure.providers.models import Models
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock, FakeProvider
from perdure.tools.plain import dump, load

_LONG_S = 5.0


class World:
    """What a test of a run needs. A message is put once and attempted as often as the test likes."""

    def __init__(self, store: InMemoryStore, clock: FakeClock, threads: ThreadPoolExecutor) -> None:
        self.store, self.clock, self.threads = store, clock, threads
        self.provider = FakeProvider()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.more: dict[str, Any] = {}
        """Further parts of the run."""
        self.wrap_journal: Callable[[Any], Any] = lambda journal: journal
        self.id = MessageId(0)
        self.lease: Lease | None = None

    def parts(self) -> RunParts:
        fields: dict[str, Any] = {
            "journal": self.wrap_journal(self.store.journal),
            "memory": self.store.memory,
            "models": Models({"fake": self.provider}, {}, "fake/fake-1"),
            "clock": self.clock,
            "threads": self.threads,
            "tool_threads": self.threads,
            "grace_s": 0.2,
            "sleep": self.sleep,
        }
        return RunParts(**(fields | self.more))

    async def sleep(self, seconds: float) -> None:
        """Short waits pass at once; a long one lasts until it is parked."""
        if seconds > _LONG_S:
            await asyncio.get_running_loop().create_future()
        self.clock.pass_by(seconds=seconds)
        await asyncio.sleep(0)

    async def put(self, agent: Agent, body: Any = None, **options: Any) -> MessageId:
        [receipt] = await self.store.messages.put([NewMessage(agent=agent.name, body=dump(body), **options)])
        self.id = receipt.id
        return receipt.id

    async def take(self, agent: Agent) -> Lease:
        worker = await self.store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=[agent.card()]))
        [self.lease] = await self.store.messages.lease(await self.store.messages.routes(), limit=1, worker=worker)
        return self.lease

    async def attempt(self, agent: Agent, body: Any = None, **options: Any) -> Ending:
        """One attempt, put first if there is no message yet. Nothing becomes of the message."""
        if not self.id:
            await self.put(agent, body, **options)
        return await perform(agent, await self.take(agent), self.parts())

    async def result(self, agent: Agent, body: Any = None, **options: Any) -> Any:
        ending = await self.attempt(agent, body, **options)
        assert isinstance(ending, Finished), ending
        return load(ending.result)

    async def failed(self, agent: Agent, body: Any = None, **options: Any) -> Failed:
        ending = await self.attempt(agent, body, **options)
        assert isinstance(ending, Failed), ending
        return ending

    async def parked(self, agent: Agent, body: Any = None, **options: Any) -> Parked:
        ending = await self.attempt(agent, body, **options)
        assert isinstance(ending, Parked), ending
        return ending

    async def crash(self) -> None:
        """The worker is gone; its message is ready again."""
        self.clock.pass_by(seconds=11)
        await self.store.workers.reap()

    async def retry(self, ending: Failed) -> None:
        assert self.lease is not None
        await self.store.messages.retry(self.lease, ending.error, at=self.clock.now(), step=ending.step, usage=ending.usage)
        await self.store.messages.tend()

    async def park(self, ending: Parked) -> None:
        assert self.lease is not None
        await self.store.messages.park(self.lease, ending.wait)

    async def wake(self, ending: Parked) -> None:
        """Park, and let the time pass it waits for."""
        await self.park(ending)
        assert ending.wait.until is not None
        self.clock.pass_by(seconds=ending.wait.until - self.clock.now())
        await self.store.messages.tend()

    async def decide(self, ending: Parked, decision: Decision, result: Any = None) -> None:
        await self.park(ending)
        await self.store.journal.decide(self.id, ending.wait.step or 0, decision, by="key_1", result=dump(result))

    async def steps(self) -> list[Step]:
        return list(await self.store.journal.steps(self.id))

    def count(self, name: str) -> int:
        return sum(1 for what, _ in self.told if what == name)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    threads = ThreadPoolExecutor(max_workers=16)
    async with InMemoryStore(clock=clock) as store:
        made = World(store, clock, threads)
        stop = events.listen("step.", lambda name, facts: made.told.append((name, dict(facts))))
        yield made
        stop()
    threads.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def ran() -> Iterator[list[Any]]:
    """What tools of a test did to the world outside."""
    return []
