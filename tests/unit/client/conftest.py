"""A real server on a socket, over a store in memory, and what a worker would do by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from perdure.client.aio import AsyncClient
from perdure.clock import now
from perdure.errors.base import AgentFailed, PerdureError
from perdure.errors.report import facts_of
from perdure.messages.message import Lease, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.providers.models import Models
from perdure.resources.usage import Usage
from perdure.security.keys import digest, make_key
from perdure.server.app import make_server
from perdure.server.listen import listener
from perdure.server.parts import ServerParts
from perdure.testing import FakeProvider, InMemoryStore


@dataclass
class Served:
    """A server and its store."""

    url: str
    key: str
    store: InMemoryStore
    worker: WorkerId

    def client(self, **more: Any) -> AsyncClient:
        return AsyncClient(self.url, self.key, **more)

    async def new_key(self, *scopes: str, tenant: str = "default") -> str:
        key, secret = make_key("some", tenant=tenant, scopes=list(scopes), now=now())
        await self.store.keys.add(key, digest(secret))
        return secret

    async def take(self, limit: int = 100) -> list[Lease]:
        return list(await self.store.messages.lease(await self.store.messages.routes(), limit=limit, worker=self.worker))

    async def finish(self, result: Callable[[Any], Any] = lambda body: {"echo": body}) -> int:
        leases = await self.take()
        for lease in leases:
            answer = msgspec.json.encode(result(msgspec.json.decode(lease.message.body)))
            await self.store.messages.done(lease, answer, usage=Usage(calls=1, input_tokens=3, output_tokens=2))
        return len(leases)

    async def bury(self, error: PerdureError | None = None) -> None:
        for lease in await self.take():
            await self.store.messages.bury(lease, facts_of(error or AgentFailed("it broke", hint="mend it")))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with InMemoryStore() as store:
        key, secret = make_key("test", tenant="*", scopes=["*"], now=now())
        await store.keys.add(key, digest(secret))
        card = WorkerCard(host="here", pid=1, slots=100, agents=[AgentCard(name=name, version="1") for name in ("echo", "chat")])
        worker = await store.workers.register(card)
        models = Models({"fake": FakeProvider(replies=["Hello."] * 100)}, default="fake/fake-1")
        server = listener(make_server(ServerParts(store=store, models=models)), host="127.0.0.1", port=0, grace_s=1)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            doors = asyncio.create_task(server.serve(sockets=[taken]))
            while not server.started:
                await asyncio.sleep(0.005)
            yield Served(f"http://127.0.0.1:{taken.getsockname()[1]}", secret, store, worker)
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(doors, 10)


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
