"""Writing to the journal so that nothing in hand is lost.

A commit that has begun is finished even if the agent gives the call up meanwhile, and an answer that
was paid for is offered to a busy store several times. What the store refuses for good (the lease is
lost, the disk is full) halts the run: nothing it still does could be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from perdure.agents.journal import Intent, Journal, MemoryWrite, Obtained
from perdure.agents.parts import RunParts
from perdure.agents.waits import OpenCalls
from perdure.errors.base import ErrorFacts, LeaseError, StoreBusy, StoreError
from perdure.messages.message import Lease, MessageId, NewMessage
from perdure.messages.spending import Bill
from perdure.resources.usage import Usage

__all__ = ["Commits"]

R = TypeVar("R")
_TRIES = 4
_PAUSE_S = 0.25


class Commits:
    """A run's way to its journal.

    Args:
        lease (Lease): The right to write.
        parts (RunParts): The journal, and how to wait.
        calls (OpenCalls): What is halted when the store refuses.
    """

    def __init__(self, lease: Lease, parts: RunParts, calls: OpenCalls) -> None:
        self._lease = lease
        self._journal: Journal = parts.journal
        self._parts = parts
        self._calls = calls
        self._saved: Usage | None = None

    async def intend(self, intent: Intent) -> None:
        """Commit an intent, and beside it what was replayed before it.

        Args:
            intent (Intent): The step.
        """
        if self._saved is None:
            await self._firmly(lambda: self._journal.intend(self._lease, intent))
        else:
            await asyncio.gather(self.count_saved(), self._firmly(lambda: self._journal.intend(self._lease, intent)))

    def saved(self, usage: Usage) -> None:
        """Note that a recorded answer was replayed; it is counted with the next intent, or at the end.

        Args:
            usage (Usage): What it had used.
        """
        self._saved = usage if self._saved is None else self._saved + usage

    async def count_saved(self) -> None:
        """Commit what was replayed and not yet counted."""
        saved, self._saved = self._saved, None
        if saved is not None:
            await self._firmly(lambda: self._journal.replayed(self._lease, saved))

    async def handle(self, number: int, handle: str) -> None:
        """Commit what the provider calls a call.

        Args:
            number (int): The step.
            handle (str): By which it can be asked.
        """
        await self._firmly(lambda: self._journal.handle(self._lease, number, handle))

    async def record(self, number: int, result: bytes, usage: Usage | None, bill: Bill | None = None, lane: str | None = None) -> None:
        """Commit a result.

        Args:
            number (int): The step.
            result (bytes): JSON.
            usage (Usage | None): What it used.
            bill (Bill | None): Where it is booked.
            lane (str | None): Who answered, if that is not whom it was sent to last.
        """
        await self._firmly(lambda: self._journal.record(self._lease, number, result, usage=usage, bill=bill, lane=lane))

    async def fail(self, number: int, error: ErrorFacts, usage: Usage | None, bill: Bill | None = None) -> None:
        """Commit a failure.

        Args:
            number (int): The step.
            error (ErrorFacts): How.
            usage (Usage | None): What it used.
            bill (Bill | None): Where it is booked.
        """
        await self._firmly(lambda: self._journal.fail(self._lease, number, error, usage=usage, bill=bill))

    async def defer(self, number: int, error: ErrorFacts, bill: Bill | None = None, usage: Usage | None = None) -> None:
        """Commit that a step is to be made again.

        Args:
            number (int): The step.
            error (ErrorFacts): Why.
            bill (Bill | None): Where it is booked, or what was held for it is given back.
            usage (Usage | None): What it used all the same.
        """
        await self._firmly(lambda: self._journal.defer(self._lease, number, error, usage=usage, bill=bill))

    async def settle(self, intent: Intent, result: bytes, memory: MemoryWrite | None) -> None:
        """Commit intent and result together.

        Args:
            intent (Intent): The step.
            result (bytes): JSON.
            memory (MemoryWrite | None): What it changes in the store's memory.
        """
        await self._firmly(lambda: self._journal.settle(self._lease, intent, result, memory=memory))

    async def obtain(self, intent: Intent) -> Obtained | None:
        """Begin to wait for something, or take it if it is there.

        Args:
            intent (Intent): The step, and what it waits for.

        Returns:
            Obtained | None: What was taken.
        """
        return await self._firmly(lambda: self._journal.obtain(self._lease, intent))

    async def send(self, intent: Intent, messages: Sequence[NewMessage], max_depth: int) -> Sequence[MessageId]:
        """Put messages and record the step that sends them.

        Args:
            intent (Intent): The step.
            messages (Sequence[NewMessage]): What to put.
            max_depth (int): How many senders may stand behind one another.

        Returns:
            Sequence[MessageId]: Theirs.
        """
        return await self._firmly(lambda: self._journal.send(self._lease, intent, messages, max_depth=max_depth))

    async def read(self, look: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Read something of the store that the run needs: that it cannot be read is not the agent's failure either.

        Args:
            look (Callable[[], Coroutine[Any, Any, R]]): Reads it.

        Returns:
            R: What it says.
        """
        return await self._firmly(look)

    async def _firmly(self, write: Callable[[], Coroutine[Any, Any, R]]) -> R:
        task = asyncio.create_task(self._tried(write))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    async def _tried(self, write: Callable[[], Coroutine[Any, Any, R]]) -> R:
        tries = 0
        while True:
            tries += 1
            try:
                return await write()
            except StoreBusy as error:
                if tries == _TRIES:
                    self._calls.lose(error)
                    raise
                await self._parts.sleep(_PAUSE_S)
            except (LeaseError, StoreError) as error:
                self._calls.lose(error)
                raise
