"""A server on a socket, in a thread of its own, and the command run against it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.cli.main import run
from perdure.clock import now
from perdure.errors.base import AgentFailed, Evidence
from perdure.errors.patterns import Noted
from perdure.errors.report import facts_of
from perdure.messages.message import Wait
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.monitor.gathering import line_of
from perdure.providers.models import Models
from perdure.resources.usage import Usage
from perdure.security.keys import digest, make_key
from perdure.server.app import make_server
from perdure.server.listen import listener
from perdure.server.parts import ServerParts
from perdure.testing import FakeProvider, InMemoryStore

T = TypeVar("T")
BROKE = msgspec.structs.replace(
    facts_of(AgentFailed("it broke", hint="mend it")), evidence=Evidence(trace="pages.py:7 read"), causes=["LookupError: no such page"]
)
AGENTS = [AgentCard(name=name, version="1") for name in ("echo", "chat", "broken")]


class Served:
    """A server in a thread. `working` lets a worker finish what it can, as an agent `echo` would."""

    def __init__(self) -> None:
        self.url = self.key = ""
        self.store: InMemoryStore
        self._loop = asyncio.new_event_loop()
        self._up, self._down = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._up.wait(20)

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    def put(self, body: Any = None, *, agent: str = "echo", **more: Any) -> str:
        from perdure.messages.ids import write
        from perdure.messages.message import NewMessage

        [receipt] = self.ask(self.store.messages.put([NewMessage(agent=agent, body=msgspec.json.encode(body), **more)]))
        return write(receipt.id)

    def work(self) -> None:
        self.ask(self._work())

    def park(self, wait: Wait, *, queue: str, asked: Any = None) -> None:
        """Let the one message of a queue begin a call, and wait."""
        self.ask(self._park(wait, queue, msgspec.json.encode(asked)))

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[None]:
        models = Models({"fake": FakeProvider(replies=["Hello."] * 100)}, default="fake/fake-1")
        server = listener(make_server(ServerParts(store=self.store, models=models)), host="127.0.0.1", port=0, grace_s=1)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            doors = asyncio.create_task(server.serve(sockets=[taken]))
            while not server.started:
                await asyncio.sleep(0.005)
            yield
            server.should_exit = True
            await asyncio.wait_for(doors, 10)

    async def _serve(self) -> None:
        async with InMemoryStore() as self.store:
            key, self.key = make_key("test", tenant="*", scopes=["*"], now=now())
            await self.store.keys.add(key, digest(self.key))
            self._worker = await self.store.workers.register(WorkerCard(host="here", pid=1, slots=100, agents=AGENTS))
            async with self._server():
                self._up.set()
                await self._down.wait()

    async def _work(self) -> None:
        messages = self.store.messages
        for lease in await messages.lease(await messages.routes(), limit=100, worker=self._worker):
            body = msgspec.json.decode(lease.message.body)
            if lease.message.agent == "broken":
                await messages.bury(lease, BROKE)
                line, at = line_of(BROKE, where="run", agent="broken"), now()
                await self.store.errors.note([Noted(line=line, count=1, first_at=at, last_at=at, sample=BROKE.message, hint=BROKE.hint)])
                continue
            result = {"echo": body}
            if lease.message.agent == "chat":
                result = {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": f"to {lease.message.id}"}}]}
            await messages.done(lease, msgspec.json.encode(result), usage=Usage(calls=1, input_tokens=3, output_tokens=2))

    async def _park(self, wait: Wait, queue: str, request: bytes) -> None:
        routes = [route for route in await self.store.messages.routes() if route.queue == queue]
        [lease] = await self.store.messages.lease(routes, limit=1, worker=self._worker)
        key = StepKey("", StepKind.TOOL, "refund", "f", 0)
        await self.store.journal.intend(lease, Intent(number=1, key=key, request=request))
        await self.store.messages.park(lease, wait)

    def worker_loop(self) -> Callable[[], None]:
        """Finish whatever comes, until the returned function is called."""
        ending = threading.Event()

        def go() -> None:
            while not ending.is_set():
                self.work()
                ending.wait(0.02)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()

        def stop() -> None:
            ending.set()
            thread.join(10)

        return stop


@pytest.fixture(scope="module")
def server_thread() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def served(server_thread: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    monkeypatch.setenv("PERDURE_URL", server_thread.url)
    monkeypatch.setenv("PERDURE_API_KEY", server_thread.key)
    monkeypatch.chdir(tmp_path)
    return server_thread


@pytest.fixture
def working(served: Served) -> Iterator[None]:
    stop = served.worker_loop()
    yield
    stop()


class Ran:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


@pytest.fixture
def perdure(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command in this process."""

    def call(*arguments: str) -> Ran:
        capfd.readouterr()
        code = run(list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ran(code, out, err)

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Ran]:
    """Run the command in a process of its own."""

    def call(*arguments: str | bytes, stdin: bytes = b"", **environ: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "perdure", *arguments],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONSAFEPATH": "1", **environ},
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        assert "Traceback" not in err
        return Ran(done.returncode, out, err)

    return call
