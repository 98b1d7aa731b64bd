"""Behind a pooler in transaction mode, where a connection is another session each time, every promise is kept too."""

from collections.abc import AsyncIterator

import pytest

from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.store import Store
from perdure.testing import (
    FakeClock,
    JournalKit,
    KeyStoreKit,
    MemoryKit,
    MessageStoreKit,
    OperatingKit,
    RetentionKit,
    ScheduleKit,
    WorkerRegistryKit,
)


class TestPostgresBehindAPooler(
    MessageStoreKit, JournalKit, WorkerRegistryKit, MemoryKit, KeyStoreKit, OperatingKit, ScheduleKit, RetentionKit
):
    @pytest.fixture
    async def store(self, clock: FakeClock, postgres_url: str) -> AsyncIterator[Store]:
        async with PostgresStore(postgres_url, clock=clock, pool=4, flags=Flags(sessions=False)) as opened:
            yield opened
