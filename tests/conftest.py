"""A real server on a real socket, over a store in memory, for whoever wants to call one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest_plugins = ["servers.fixtures", "suite"]


@dataclass
class Reply:
    """What a server answered."""

    status: int
    headers: Any
    raw: bytes

    @property
    def text(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Served:
    """A running server, and a hand to call it with."""

    url: str
    key: str
    store: Any
    clock: Any
    core: Any
    server: Any
    provider: Any
    http: Any
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = {} if key is None else {"authorization": f"Bearer {key or self.key}"}
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["content-type"] = "application/json"
        sent.update(headers or {})
        async with self.http.request(method, self.url + path, data=data, headers=sent, allow_redirects=False) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.call("POST", path, body, **more)

    async def new_key(self, tenant: str, scopes: Sequence[str] = ("*",), *, expires_at: float | None = None) -> str:
        from perdure.security.keys import digest, make_key

        key, secret = make_key(f"of {tenant}", tenant=tenant, scopes=scopes, now=self.clock.now(), expires_at=expires_at)
        await self.store.keys.add(key, digest(secret))
        return secret

    async def put(self, agent: str = "echo", body: Any = None, **more: Any) -> str:
        key = more.pop("key", "")
        answer = await self.post("/api/v1/messages", {"agent": agent, "body": {"text": "hello"} if body is None else body, **more}, key=key)
        assert answer.status == 202, answer.text
        return str(answer.json["id"])

    async def lease(self) -> Any:
        [lease] = await self.store.messages.lease(await self.store.messages.routes(), limit=1, worker=self.worker)
        return lease

    worker: Any = None


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    """Start servers: `served = await serve(replies=[…], max_depth=8)`; they stop with the test."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def start(**more: Any) -> Served:
            return await stack.enter_async_context(_running(**more))

        yield start


@pytest.fixture(scope="session")
def running() -> Any:
    """What runs a server, for a test that needs it on another loop: `async with running() as served`."""
    return _running


@pytest.fixture
async def served(serve: Any) -> Served:
    """One server with the agents `echo`, `triage` (with a schema) and `chat`."""
    served: Served = await serve()
    return served


@asynccontextmanager
async def _running(
    *,
    replies: Any = None,
    store: Any = None,
    needs_worker: bool = False,
    agents: bool = True,
    provider: Any = None,
    prices: Any = None,
    models: Any = None,
    clock: Any = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    import aiohttp

    from perdure.agents.chat import chat
    from perdure.config.settings import ServerSettings
    from perdure.messages.registry import AgentCard, WorkerCard
    from perdure.providers.models import Models
    from perdure.providers.prices import Prices
    from perdure.security.keys import digest, make_key
    from perdure.server.app import ServerParts, make_server
    from perdure.server.listen import listener
    from perdure.testing import FakeClock, FakeProvider, InMemoryStore

    clock = clock or FakeClock()
    schema = {
        "type": "object",
        "properties": {"ticket": {"type": "string"}, "urgency": {"type": "integer", "minimum": 0}},
        "required": ["ticket"],
        "additionalProperties": False,
    }
    async with store or InMemoryStore(clock=clock) as opened:
        key, secret = make_key("operator", tenant="*", scopes=["*"], now=clock.now())
        await opened.keys.add(key, digest(secret))
        worker = None
        if agents:
            cards = [
                AgentCard(name="echo", version="1"),
                AgentCard(name="triage", version="1", queue="support", attempts=3, timeout_s=30.0, lane="fake/fake-1", input_schema=schema),
                AgentCard(name="chat", version="1", input_schema=chat.input_schema),
            ]
            worker = await opened.workers.register(WorkerCard(host="here", pid=1, slots=4, agents=cards))
        provider = provider or FakeProvider(replies=replies)
        models = models or Models({"fake": provider}, {"small": ("fake", "fake-1")}, "fake/fake-1")
        parts = ServerParts(
            opened,
            models,
            prices=prices or Prices(),
            settings=ServerSettings(**settings),
            clock=clock,
            cookie_secret=b"s" * 32,
            needs_worker=needs_worker,
        )
        app = make_server(parts)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            server = listener(app, host="127.0.0.1", port=0, grace_s=2)
            running = asyncio.create_task(server.serve(sockets=[sock]))
            async with asyncio.timeout(60):
                while not server.started:
                    await asyncio.sleep(0.005)
            jar = aiohttp.DummyCookieJar()
            async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=20)) as http:
                url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                yield Served(url, secret, opened, clock, app.state.core, server, provider, http, worker=worker)
            server.should_exit = True
            await running
