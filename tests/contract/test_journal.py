"""Every engine keeps the promises of `Journal`."""

from collections.abc import AsyncIterator

import pytest

from perdure.stores.store import Store
from perdure.testing import FakeClock, InMemoryStore, JournalKit


class TestInMemory(JournalKit):
    @pytest.fixture
    async def store(self, clock: FakeClock) -> AsyncIterator[Store]:
        async with InMemoryStore(clock=clock) as opened:
            yield opened
