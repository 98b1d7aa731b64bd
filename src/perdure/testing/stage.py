"""Workers one after the other over one store in memory, for `run_agent`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from perdure.agents.agent import Agent
from perdure.agents.parts import Ending, Failed, Finished, Parked, RunParts
from perdure.agents.perform import perform
from perdure.errors.base import LeaseError
from perdure.messages.message import Lease
from perdure.messages.registry import DEAD_AFTER_S, WorkerCard
from perdure.messages.retry import Bury, Park, Retry, fate
from perdure.providers.deployments import Deployments
from perdure.providers.protocol import ChatAnswer, ChatProvider
from perdure.providers.target import Target
from perdure.stores.inmemory import InMemoryStore
from perdure.testing.clock import FakeClock
from perdure.testing.cutting import CuttingJournal
from perdure.worker.endpoint import Endpoint

__all__ = ["Counted", "Stage"]

_PARK_AFTER_S = 5.0


class Counted(ChatProvider):
    """Counts the calls that reach a provider, and answers for every model.

    Args:
        provider (ChatProvider): Who answers.
    """

    def __init__(self, provider: ChatProvider) -> None:
        self.name: str = provider.name
        self.count: int = 0
        self._provider = provider

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try."""
        self.count += 1
        return await self._provider.chat(body, timeout_s=timeout_s)

    def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat piece by piece, one try."""
        self.count += 1
        return self._provider.stream(body, timeout_s=timeout_s)

    async def models(self) -> list[str]:
        """List what it can answer with."""
        return await self._provider.models()

    async def aclose(self) -> None:
        """Leave the provider open: it is the test's."""

    def deployments(self, name: str | None) -> Deployments:
        """Answer for a model, whatever it is called."""
        first = next(iter(getattr(self._provider, "declared", ())), "default")
        target = Target(self, (name or first).removeprefix(f"{self.name}/"))
        return Deployments(name=target.lane, targets=(target,))

    def several(self) -> dict[str, Sequence[str]]:
        """Tell that none has more than one deployment."""
        return {}


class Stage:
    """One store, and one worker after the other.

    Args:
        agents (Sequence[Agent]): What they all know.
        store (InMemoryStore): Where the message is.
        clock (FakeClock): The store's.
        provider (Counted): Who answers.
        threads (Executor): For sync agents and tools.
        after (int | None): Crash when this many steps have been recorded.
        during (int | None): Crash when this many steps have been intended.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        store: InMemoryStore,
        clock: FakeClock,
        provider: Counted,
        threads: Executor,
        after: int | None,
        during: int | None,
    ) -> None:
        self.store: InMemoryStore = store
        self.clock: FakeClock = clock
        self.parks: int = 0
        self.endpoint: Endpoint = Endpoint()
        self.journal: CuttingJournal = CuttingJournal(store.journal, self._crash, after=after, during=during)
        self._agents = {agent.name: agent for agent in agents}
        self._parts = RunParts(
            journal=self.journal,
            memory=store.memory,
            models=provider,
            clock=clock,
            threads=threads,
            tool_threads=threads,
            park_after_s=_PARK_AFTER_S,
            sleep=self._sleep,
            registry=store.workers,
            endpoint=self.endpoint,
            messages=store.messages,
        )

    async def round(self) -> None:
        """Let a new worker take a message and do what comes of it."""
        cards = [agent.card() for agent in self._agents.values()]
        worker = await self.store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=cards))
        [lease] = await self.store.messages.lease(await self.store.messages.routes(), limit=1, worker=worker)
        try:
            ending = await perform(self._agents[lease.message.agent], lease, self._parts)
        except LeaseError:
            return  # that was the crash
        await self._end(lease, ending)
        await self.store.workers.bow_out(worker)

    async def _end(self, lease: Lease, ending: Ending) -> None:
        if isinstance(ending, Finished):
            await self.store.messages.done(lease, ending.result, usage=ending.usage, code_version=self._agents[lease.message.agent].version)
        elif isinstance(ending, Parked):
            self.parks += 1
            await self.store.messages.park(lease, ending.wait)
        else:
            await self._fail(lease, ending)

    async def _fail(self, lease: Lease, ending: Failed) -> None:
        messages = self.store.messages
        end = fate(ending.error, lease=lease, step=ending.step, now=self.clock.now(), dice=0.5)
        if isinstance(end, Retry):
            await messages.retry(lease, end.error, at=end.at, step=end.step, usage=ending.usage)
        elif isinstance(end, Bury):
            await messages.bury(lease, end.error, step=end.step, usage=ending.usage, uses_attempt=end.uses_attempt)
        elif isinstance(end, Park):
            await messages.park(lease, end.wait)
        else:
            await messages.release(lease)

    async def _crash(self) -> None:
        self.clock.pass_by(seconds=DEAD_AFTER_S + 1)
        await self.store.workers.reap()

    async def _sleep(self, seconds: float) -> None:
        if seconds > _PARK_AFTER_S:  # so long a wait in the slot means that another call works meanwhile, or the run is about to park
            await asyncio.sleep(seconds)
        self.clock.pass_by(seconds=seconds)
        await asyncio.sleep(0)
