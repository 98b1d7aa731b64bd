"""The steps of runs. Two commits a step, each shared with whatever else is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from perdure.agents.journal import Decision, Intent, Journal, MemoryWrite, Obtained, Step
from perdure.errors.base import ErrorFacts
from perdure.messages.message import Lease, MessageId, NewMessage
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage
from perdure.stores.sql import decide, obtain, recall, steps
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.parcels import Parcels

__all__ = ["SqlJournal"]

_LONG_BYTES = 256 * 1024
"""Putting together more than this is left to a thread."""


class SqlJournal(Journal):
    """Keeps what runs have done.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parcels: Parcels = Parcels()

    async def steps(self, id: MessageId, *, shown: bool = True, after: int = 0, most_bytes: int | None = None) -> Sequence[Step]:
        """Read the steps of a message's run, by number."""
        kept = await self._engine.read(recall.read_steps, id, shown, after)
        return kept.steps(most_bytes) if kept.size_bytes <= _LONG_BYTES else await asyncio.to_thread(kept.steps, most_bytes)

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit that a step is about to be made."""
        request = await self._parcels.of_request(lease, intent)
        await self._engine.write(steps.intend, lease, intent, request, size_bytes=request.size_bytes if request else 0)
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
        size_bytes = packed.size_bytes
        await self._engine.write(
            steps.record, lease, number, packed, usage=usage, memory=memory, bill=bill, lane=lane, size_bytes=size_bytes
        )

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit a step that has no outside effect in one go."""
        request, packed = await self._parcels.of_request(lease, intent), await self._parcels.of_result(result)
        await self._engine.write(steps.settle, lease, intent, request, packed, memory=memory, size_bytes=packed.size_bytes)
        self._parcels.stored(lease, request)

    async def obtain(self, lease: Lease, intent: Intent) -> Obtained | None:
        """Begin to wait for something, or take it if it is there."""
        request = await self._parcels.of_request(lease, intent)
        obtained = await self._engine.write(obtain.obtain, lease, intent, request)
        self._parcels.stored(lease, request)
        return obtained

    async def send(self, lease: Lease, intent: Intent, messages: Sequence[NewMessage], *, max_depth: int) -> Sequence[MessageId]:
        """Put messages and record the step that sends them."""
        request = await self._parcels.of_request(lease, intent)
        size_bytes = sum(len(new.body) for new in messages)
        sent = await self._engine.write(obtain.send, lease, intent, request, messages, max_depth=max_depth, size_bytes=size_bytes)
        self._parcels.stored(lease, request)
        return sent

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step failed."""
        await self._engine.write(steps.fail, lease, number, error, usage=usage, bill=bill)

    async def defer(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step did not happen and will be made again."""
        await self._engine.write(steps.defer, lease, number, error, usage=usage, bill=bill)

    async def handle(self, lease: Lease, number: int, handle: str) -> None:
        """Commit what the provider calls a call that is under way."""
        await self._engine.write(steps.handle, lease, number, handle)

    async def replayed(self, lease: Lease, saved: Usage) -> None:
        """Count recorded answers of models that were replayed instead of paid for."""
        await self._engine.write(steps.replayed, lease, saved)

    async def decide(
        self, id: MessageId, number: int, decision: Decision, *, by: str, result: bytes | None = None, tenant: str | None = None
    ) -> None:
        """Say what became of a step whose outcome is unknown."""
        packed = await self._parcels.of_result(result or b"null")
        await self._engine.write(decide.decide, id, number, decision, by=by, result=packed, tenant=tenant)
