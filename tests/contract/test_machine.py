"""Every engine does what the model does, whatever is done to it in whatever order."""

import pytest
from hypothesis import HealthCheck, settings

from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.store import Store
from perdure.testing import FakeClock, InMemoryStore, StoreMachine

SHORT = settings(max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(SHORT, max_examples=1000, stateful_step_count=80)


class InMemoryMachine(StoreMachine):
    def open_store(self, clock: FakeClock) -> Store:
        return InMemoryStore(clock=clock)


class SqliteMachine(StoreMachine):
    def open_store(self, clock: FakeClock) -> Store:
        return SqliteStore(self.folder / "perdure.db", clock=clock, synchronous="normal")  # no power is cut here


class TestInMemory(InMemoryMachine.TestCase):
    settings = SHORT


class TestSqlite(SqliteMachine.TestCase):
    settings = SHORT


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestInMemoryForLong(InMemoryMachine.TestCase):
    settings = LONG


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestSqliteForLong(SqliteMachine.TestCase):
    settings = LONG
