"""Real processes: a counting provider, workers that are killed, and the store looked at from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.agents.journal import Step
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.messages.message import MessageId, NewMessage, View
from perdure.messages.store import Filter
from perdure.stores.store import Store
from perdure.testing.upstream import Seen

HERE = Path(__file__).parent
PATIENCE_S = 60.0


class Ground:
    """A folder with a store, a provider, and the traces that agents leave."""

    def __init__(self, folder: Path, upstream_url: str, database_url: str | None = None) -> None:
        self.folder = folder
        self.database_url = database_url
        self.calls = folder / "calls.jsonl"
        self.environ = {
            **os.environ,
            "PERDURE_PROVIDERS__UP__BASE_URL": upstream_url,
            "PERDURE_DEFAULT_MODEL": "up/fake-1",
            "PERDURE_DATA": str(folder / "data"),
            "PERDURE_RETENTION__CHANGES_S": "forever",  # all that was told is checked in the end
            "CRASH_TRACES": str(folder),
        } | ({"PERDURE_DATABASE_URL": database_url} if database_url else {})
        self._children: list[subprocess.Popen[bytes]] = []
        self._requests: list[Seen] = []
        self._read_bytes = 0

    @property
    def settings(self) -> Settings:
        """How a test opens the store itself."""
        return Settings.model_validate({"data": self.folder / "data", "store": {"url": self.database_url} if self.database_url else {}})

    def command(self, verb: str, *options: str) -> list[str]:
        agents = ["--app", f"{HERE / 'agents.py'}:app"] if verb in {"worker", "up"} else []
        return [sys.executable, "-m", "perdure", verb, *agents, *options]

    def start(self, command: Sequence[str], **environ: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "processes.log").open("ab")
        child = subprocess.Popen(command, env=self.environ | environ, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self._children.append(child)
        return child

    def worker(self, *options: str, **environ: str) -> subprocess.Popen[bytes]:
        return self.start(self.command("worker", *options), **environ)

    def traces(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def requests(self) -> list[Seen]:
        """All that have arrived so far; of the log only what is new is read."""
        if self.calls.exists():
            with self.calls.open("rb") as log:
                log.seek(self._read_bytes)
                new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            lines = [json.loads(line) for line in whole.splitlines()]
            self._requests += [msgspec.convert(line, Seen) for line in lines if "path" in line]
            self._read_bytes += len(whole)
        return self._requests

    def said(self) -> str:
        log = self.folder / "processes.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def end(self) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.wait()


class Seer:
    """Looks at the store from a process that is not a worker's."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def put(self, agent: str, bodies: Sequence[Any], **fields: Any) -> list[MessageId]:
        new = [NewMessage(agent=agent, queue="orders", body=json.dumps(body).encode(), **fields) for body in bodies]
        return [receipt.id for receipt in await self.store.messages.put(new)]

    async def views(self, **filter: Any) -> list[View]:
        found: list[View] = []
        cursor = None
        while True:
            page = await self.store.messages.list(Filter(**filter), limit=1000, cursor=cursor)
            found += page.views
            if (cursor := page.cursor) is None:
                return found

    async def steps(self, id: MessageId) -> Sequence[Step]:
        return await self.store.journal.steps(id)

    async def until(self, true: Callable[[], Awaitable[bool]], *, what: str, within_s: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not await true():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {what}") from None

    async def living(self) -> int:
        return sum(worker.alive and not worker.card.quarantine for worker in await self.store.workers.workers())


@pytest.fixture
def upstream_delay_s() -> float:
    return 0.2


@pytest.fixture
def engine() -> str:
    """Which database: a test that is about both says so by its parameters."""
    return "sqlite"


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if engine == "postgres" else None


@pytest.fixture
def ground(tmp_path: Path, upstream_delay_s: float, database_url: str | None) -> Iterator[Ground]:
    command = [sys.executable, "-m", "perdure.testing.upstream", "--log", str(tmp_path / "calls.jsonl"), "--delay", str(upstream_delay_s)]
    provider = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert provider.stdout is not None
    ground = Ground(tmp_path, json.loads(provider.stdout.readline())["url"], database_url)
    try:
        yield ground
    finally:
        ground.end()
        provider.terminate()
        provider.wait()
        provider.stdout.close()


@pytest.fixture
async def seer(ground: Ground) -> AsyncIterator[Seer]:
    data = ground.folder / "data"
    data.mkdir(mode=0o700)
    async with open_store(ground.settings) as store:
        yield Seer(store)
