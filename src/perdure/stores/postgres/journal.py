"""The steps of runs in PostgreSQL: the shared view, with the hot calls in statements for many."""

from __future__ import annotations

from perdure.agents.journal import Intent, MemoryWrite, StepState
from perdure.errors.base import ErrorFacts, StoreClosed
from perdure.messages.message import Lease
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage
from perdure.stores.postgres.engine import Engine
from perdure.stores.postgres.journaling import Journaling
from perdure.stores.sql import steps
from perdure.stores.sql.journal import SqlJournal

__all__ = ["PostgresJournal"]


class PostgresJournal(SqlJournal):
    """Keeps what runs have done.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._ground = engine
        self._gathering: Journaling | None = None

    def open(self) -> None:
        """Begin to gather calls; once the engine is open."""
        self._gathering = Journaling(self._ground)

    async def close(self) -> None:
        """Write what was accepted, then end; before the engine is closed."""
        gathering, self._gathering = self._gathering, None
        if gathering is not None:
            await gathering.close()

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit that a step is about to be made."""
        request = await self._parcels.of_request(lease, intent)
        if not await self._hot.begin(lease, intent, request):
            await self._ground.write(steps.intend, lease, intent, request)
        self._parcels.stored(lease, request)

    async def record(
        self,
        lease: Lease,
        number: int,
        result: bytes,
        *,
        usage: Usage | None = None,
        memory: MemoryWrite | None = None,
        bill: Bill | None = None,
        lane: str | None = None,
    ) -> None:
        """Commit a step's result."""
        packed = await self._parcels.of_result(result)
        usual = memory is None and lane is None
        if usual and await self._hot.end(lease, number, StepState.DONE, usage=usage, result=packed, bill=bill):
            return
        await self._ground.write(steps.record, lease, number, packed, usage=usage, memory=memory, bill=bill, lane=lane)

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit a step that has no outside effect in one go."""
        request, packed = await self._parcels.of_request(lease, intent), await self._parcels.of_result(result)
        if not await self._hot.begin(lease, intent, request, result=packed, memory=memory):
            await self._ground.write(steps.settle, lease, intent, request, packed, memory=memory)
        self._parcels.stored(lease, request)

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step failed."""
        if not await self._hot.end(lease, number, StepState.FAILED, usage=usage, error=error, bill=bill):
            await self._ground.write(steps.fail, lease, number, error, usage=usage, bill=bill)

    async def defer(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step did not happen and will be made again."""
        if not await self._hot.end(lease, number, StepState.AGAIN, usage=usage, error=error, bill=bill):
            await self._ground.write(steps.defer, lease, number, error, usage=usage, bill=bill)

    @property
    def _hot(self) -> Journaling:
        if self._gathering is None:
            raise StoreClosed("the store is closed", hint="Use it inside its `async with` block.")
        return self._gathering
