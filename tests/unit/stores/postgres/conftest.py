from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from perdure.events import listen
from perdure.stores.postgres.connection import Address
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.hot import hot
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from servers.chaos import Chaos


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(postgres_url: str, clock: FakeClock) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(postgres_url, clock=clock, pool=4) as opened:
        yield opened


@pytest.fixture
async def second(store: PostgresStore, postgres_url: str, clock: FakeClock) -> AsyncIterator[PostgresStore]:
    """Another store on the same database, as another process would have it."""
    async with PostgresStore(postgres_url, clock=clock, pool=2) as opened:
        yield opened


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A look into the database from outside; its application is not Perdure's."""
    connection = await asyncpg.connect(postgres_url, server_settings={"search_path": "perdure", "application_name": "somebody else"})
    yield connection
    await connection.close()


@pytest.fixture
def address(postgres_url: str) -> Address:
    return Address(postgres_url, "perdure", Flags(), 2.0)


@pytest.fixture
async def chaos(postgres_url: str) -> AsyncIterator[Chaos]:
    async with Chaos(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def shaken(chaos: Chaos, clock: FakeClock) -> AsyncIterator[PostgresStore]:
    """A store whose connections break on demand."""
    async with PostgresStore(chaos.url, clock=clock, pool=3, wait_s=5.0) as opened:
        yield opened


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The names of the events that are told."""
    heard: list[str] = []
    stop = listen("", lambda name, facts: heard.append(name))
    yield heard
    stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first words of each statement that is sent to the database; tags are drawn and others woken beside them."""
    sent: list[str] = []

    def count(name: str) -> None:
        send = getattr(asyncpg.Connection, name)

        async def counted(self: asyncpg.Connection, text: str, *given: object, **named: object) -> object:
            if text != hot("reserve") and "pg_notify" not in text:
                sent.append(" ".join(text.split()[:6]))
            return await send(self, text, *given, **named)

        monkeypatch.setattr(asyncpg.Connection, name, counted)

    for name in ("fetch", "fetchrow", "fetchval", "execute", "executemany"):
        count(name)
    return sent
