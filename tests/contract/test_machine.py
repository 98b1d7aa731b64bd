"""Every engine does what the model does, whatever is done to it in whatever order."""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

from perdure.stores.postgres.flags import ALL_OFF, Flags
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.store import Store
from perdure.testing import FakeClock, InMemoryStore, StoreMachine
from servers.shared import Shared

# By default the same lives again and again, so that a change is what makes one fail; the long form throws the dice anew.
SHORT = settings(max_examples=80, stateful_step_count=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEW = settings(SHORT, max_examples=5, stateful_step_count=30)  # each look at it all is a hundred round trips
LONG = settings(SHORT, max_examples=1000, stateful_step_count=80, derandomize=False, print_blob=True)


class InMemoryMachine(StoreMachine):
    def open_store(self, clock: FakeClock) -> Store:
        return InMemoryStore(clock=clock)


class SqliteMachine(StoreMachine):
    def open_store(self, clock: FakeClock) -> Store:
        return SqliteStore(self.folder / "perdure.db", clock=clock, synchronous="normal")  # no power is cut here


class PostgresMachine(StoreMachine):
    server: ClassVar[Shared]
    template: ClassVar[str]
    flags: ClassVar[Flags] = Flags()

    def open_store(self, clock: FakeClock) -> Store:
        self.database = self.server.create(template=self.template)
        return PostgresStore(self.server.url(self.database), clock=clock, pool=2, flags=self.flags)

    def teardown(self) -> None:
        super().teardown()
        self.server.drop(self.database)


class PostgresWithAllFlagsOffMachine(PostgresMachine):
    flags = ALL_OFF


@pytest.fixture
def _server(postgres: Shared, _newest_schema: str) -> None:
    PostgresMachine.server, PostgresMachine.template = postgres, _newest_schema


class TestInMemory(InMemoryMachine.TestCase):
    settings = SHORT


class TestSqlite(SqliteMachine.TestCase):
    settings = SHORT


@pytest.mark.usefixtures("_server")
class TestPostgres(PostgresMachine.TestCase):
    settings = FEW


@pytest.mark.usefixtures("_server")
class TestPostgresWithAllFlagsOff(PostgresWithAllFlagsOffMachine.TestCase):
    settings = FEW


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestInMemoryForLong(InMemoryMachine.TestCase):
    settings = LONG


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestSqliteForLong(SqliteMachine.TestCase):
    settings = LONG


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("_server")
class TestPostgresForLong(PostgresMachine.TestCase):
    settings = LONG
