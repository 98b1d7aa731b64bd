"""A journal that takes the worker away at a chosen moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from perdure.agents.journal import Decision, Intent, Journal, MemoryWrite, Obtained, Step
from perdure.errors.base import ErrorFacts, LeaseLost
from perdure.messages.message import Lease, MessageId, NewMessage
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage

__all__ = ["CuttingJournal"]


class CuttingJournal(Journal):
    """Hands everything on, until the moment comes.

    Args:
        journal (Journal): Where it is kept.
        crash (Callable[[], Awaitable[None]]): Declares the worker dead.
        after (int | None): Crash when this many steps have been recorded.
        during (int | None): Crash when this many steps have been intended.
    """

    def __init__(self, journal: Journal, crash: Callable[[], Awaitable[None]], *, after: int | None, during: int | None) -> None:
        self._journal, self._crash = journal, crash
        self._after, self._during = after, during
        self.commits: int = 0
        """Steps recorded so far, well or badly."""
        self.intents: int = 0
        self.crashes: int = 0
        self.remembered: set[str] = set()
        """Keys of memory that were written."""

    async def steps(self, id: MessageId, *, shown: bool = True, after: int = 0, most_bytes: int | None = None) -> Sequence[Step]:
        """Read the steps of a message's run."""
        return await self._journal.steps(id, shown=shown, after=after, most_bytes=most_bytes)

    async def intend(self, lease: Lease, intent: Intent) -> None:
        """Commit an intent; the crash comes before the call is made."""
        await self._journal.intend(lease, intent)
        self.intents += 1
        await self._fall(self.intents == self._during)

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
        """Commit a result; the crash comes before the agent sees it."""
        await self._journal.record(lease, number, result, usage=usage, memory=memory, bill=bill, lane=lane)
        await self._committed(memory)

    async def settle(self, lease: Lease, intent: Intent, result: bytes, *, memory: MemoryWrite | None = None) -> None:
        """Commit intent and result together."""
        await self._journal.settle(lease, intent, result, memory=memory)
        await self._committed(memory)

    async def obtain(self, lease: Lease, intent: Intent) -> Obtained | None:
        """Begin to wait for something, or take it if it is there; the crash comes before the agent sees it."""
        obtained = await self._journal.obtain(lease, intent)
        if obtained is not None:
            await self._committed(None)
        return obtained

    async def send(self, lease: Lease, intent: Intent, messages: Sequence[NewMessage], *, max_depth: int) -> Sequence[MessageId]:
        """Put messages and record the step that sends them; the crash comes before the agent sees it."""
        sent = await self._journal.send(lease, intent, messages, max_depth=max_depth)
        await self._committed(None)
        return sent

    async def fail(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit a failure; the crash comes before the agent sees it."""
        await self._journal.fail(lease, number, error, usage=usage, bill=bill)
        await self._committed(None)

    async def defer(self, lease: Lease, number: int, error: ErrorFacts, *, usage: Usage | None = None, bill: Bill | None = None) -> None:
        """Commit that a step will be made again."""
        await self._journal.defer(lease, number, error, usage=usage, bill=bill)

    async def handle(self, lease: Lease, number: int, handle: str) -> None:
        """Commit what the provider calls a call that is under way."""
        await self._journal.handle(lease, number, handle)

    async def replayed(self, lease: Lease, saved: Usage) -> None:
        """Count recorded answers of models that were replayed instead of paid for."""
        await self._journal.replayed(lease, saved)

    async def decide(
        self, id: MessageId, number: int, decision: Decision, *, by: str, result: bytes | None = None, tenant: str | None = None
    ) -> None:
        """Say what became of a step whose outcome is unknown."""
        await self._journal.decide(id, number, decision, by=by, result=result, tenant=tenant)

    async def _committed(self, memory: MemoryWrite | None) -> None:
        if memory is not None and memory.key is not None:
            self.remembered.add(memory.key)
        self.commits += 1
        await self._fall(self.commits == self._after)

    async def _fall(self, now: bool) -> None:
        if now and not self.crashes:
            self.crashes += 1
            await self._crash()
            raise LeaseLost("the worker was taken away, as the test asked for")
