"""The steps of runs. Two commits a step, each shared with whatever else is being written."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.agents.journal import Decision, Intent, Journal, MemoryWrite, Step
from perdure.errors.base import ErrorFacts
from perdure.messages.message import Lease, MessageId
from perdure.resources.usage import Usage
from perdure.stores.sql import decide, steps
from perdure.stores.sql.engine import Engine

__all__ = ["SqlJournal"]


class SqlJournal(Journal):
    """Keeps what runs have done.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def steps(self, id: MessageId) -> Sequence[Step]:
        """Read all steps of a message's run, by number."""
        return await self._engine.read(steps.all_steps, id)

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit that a step is about to be made."""
        await self._engine.write(steps.intend, lease, intent, size_bytes=len(intent.request or b""))

    async def record(
        self, lease: Lease, number: int, result: bytes, *, usage: Usage | None = None, memory: MemoryWrite | None = None
    ) -> None:
        """Commit a step's result."""
        await self._engine.write(steps.record, lease, number, result, usage=usage, memory=memory, size_bytes=len(result))

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit a step that has no outside effect in one go."""
        await self._engine.write(steps.settle, lease, intent, result, memory, size_bytes=len(result))

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None) -> None:
        """Commit that a step failed."""
        await self._engine.write(steps.fail, lease, number, error, usage)

    async def defer(self, lease: Lease, number: int, error: ErrorFacts) -> None:
        """Commit that a step did not happen and will be made again."""
        await self._engine.write(steps.defer, lease, number, error)

    async def decide(
        self, id: MessageId, number: int, decision: Decision, *, by: str, result: bytes | None = None, tenant: str | None = None
    ) -> None:
        """Say what became of a step whose outcome is unknown."""
        await self._engine.write(decide.decide, id, number, decision, by=by, result=result, tenant=tenant)
