from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perdure import Agent, App
from perdure.messages.message import ENDS, MessageId, View
from perdure.providers.models import Models
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeProvider
from perdure.testing.given import message
from perdure.worker.end import WorkerEnd
from perdure.worker.worker import Worker

PATIENCE_S = 20.0


class House:
    """A store in memory and the workers in it, on real time."""

    def __init__(self, store: InMemoryStore) -> None:
        self.store = store

    def worker(self, *agents: Agent, provider: FakeProvider | None = None, **options: Any) -> Worker:
        models = Models({}) if provider is None else Models({provider.name: provider}, default=f"{provider.name}/fake-1")
        return Worker(self.store, App(agents), options.pop("models", models), **options)

    @asynccontextmanager
    async def working(self, worker: Worker) -> AsyncIterator[tuple[asyncio.Event, asyncio.Task[WorkerEnd]]]:
        stop = asyncio.Event()
        life = asyncio.create_task(worker.run(stop))
        await asyncio.wait({life, asyncio.ensure_future(worker.ready.wait())}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield stop, life
        finally:
            stop.set()
            await asyncio.wait_for(life, PATIENCE_S)

    async def put(self, agent: Agent, body: bytes = b"null", **fields: Any) -> MessageId:
        [receipt] = await self.store.messages.put([message(agent=agent.name, body=body, **fields)])
        return receipt.id

    async def get(self, id: MessageId) -> View:
        return await self.store.messages.get(id)

    async def until(self, id: MessageId, true: Callable[[View], bool]) -> View:
        """Follow the changes until a message is as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = await self.store.messages.last_change()
                view = await self.get(id)
                if true(view):
                    return view
                await self.store.messages.changed(seen, timeout_s=1.0)

    async def ended(self, id: MessageId) -> View:
        return await self.until(id, lambda view: view.state in ENDS)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with InMemoryStore() as store:
        yield House(store)
