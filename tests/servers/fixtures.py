"""The fixtures: `postgres_url`, `empty_postgres_url`, `postgres`, `private_postgres`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from servers.server import Server
from servers.shared import Shared, shared

_TEMPLATE = "newest_schema"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Shared]:
    """The server that all tests of this run share. None to be had is an error, never a skipped test."""
    with shared() as server:
        yield server


@pytest.fixture
def empty_postgres_url(postgres: Shared) -> Iterator[str]:
    """A database with nothing in it, owned by a role that is nobody special."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def _newest_schema(postgres: Shared) -> str:
    from perdure.stores.postgres.store import PostgresStore

    async def make(url: str) -> None:
        async with PostgresStore(url):
            pass

    with postgres.making(_TEMPLATE) as url:
        if url is not None:
            asyncio.run(make(url))
    return _TEMPLATE


@pytest.fixture
def postgres_url(postgres: Shared, _newest_schema: str) -> Iterator[str]:
    """A database with the newest schema and no rows but those of a new store."""
    name = postgres.create(template=_newest_schema)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
async def private_postgres() -> AsyncIterator[Server]:
    """A server of this test's own, to be stopped, killed and frozen."""
    async with Server() as server:
        yield server
