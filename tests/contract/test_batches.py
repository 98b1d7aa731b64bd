"""Every engine keeps the promises of `BatchStore`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.stores.postgres.flags import ALL_OFF
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.store import Store
from perdure.testing import BatchKit, FakeClock, InMemoryStore


class TestInMemory(BatchKit):
    @pytest.fixture
    async def store(self, clock: FakeClock) -> AsyncIterator[Store]:
        async with InMemoryStore(clock=clock) as opened:
            yield opened


class TestSqlite(BatchKit):
    @pytest.fixture
    async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
        async with SqliteStore(tmp_path / "perdure.db", clock=clock) as opened:
            yield opened


class TestPostgres(BatchKit):
    @pytest.fixture
    async def store(self, clock: FakeClock, postgres_url: str) -> AsyncIterator[Store]:
        async with PostgresStore(postgres_url, clock=clock, pool=4) as opened:
            yield opened


class TestPostgresWithAllFlagsOff(BatchKit):
    @pytest.fixture
    async def store(self, clock: FakeClock, postgres_url: str) -> AsyncIterator[Store]:
        async with PostgresStore(postgres_url, clock=clock, pool=4, flags=ALL_OFF) as opened:
            yield opened
