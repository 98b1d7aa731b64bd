"""Settling a lease: asking the store for the message's next place until it agrees.

A result that was paid for is not thrown away because the database is locked or the disk is full for a
minute: the lease is kept and the write is tried again, with growing pauses, as long as the worker lives.
Only two things end that: the store says that the lease is lost, or the time allowed is over - then the
lease goes back with its worker, and the journal brings a later run to the same point at no cost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import msgspec

from perdure.clock import awake, chance
from perdure.errors.base import LeaseLost, PerdureError, StoreClosed, StoreError, WorkerFenced
from perdure.errors.handler import handle
from perdure.errors.report import facts_of
from perdure.events import tell
from perdure.messages import ids
from perdure.messages.message import Lease
from perdure.messages.retry import Bury, Park, Release, Retry
from perdure.messages.store import Ended, MessageStore
from perdure.resources.usage import Usage
from perdure.worker.end import LastCall, WorkerEnd

__all__ = ["Done", "Drop", "Move", "OnSettled", "Settler"]

FLUSHES, MOST = 2, 500
"""So many writes of what is done are under way at once, of so many messages each."""
LIMIT_S = 900.0
"""How long a write is tried before the lease is left to whoever reaps this worker."""
_FIRST_S, _LONGEST_S = 0.05, 5.0
_log = logging.getLogger("perdure.worker")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The agent returned."""

    result: bytes
    usage: Usage | None = None
    code_version: str | None = None


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """The lease is not ours any more; nothing is written."""


Move: TypeAlias = Done | Retry | Bury | Park | Release | Drop
OnSettled: TypeAlias = Callable[[BaseException | None], None]
"""Called when a message has reached its next place (with None), or with what no try can mend."""


class Settler:
    """Writes the endings of one worker's messages.

    Args:
        messages (MessageStore): Where they are kept.
        last_call (LastCall): Ends the tries of a fenced worker, and is told of what cannot be written.
        limit_s (float): How long a write is tried.
        sleep (Callable[[float], Awaitable[None]]): How to wait between tries.
    """

    def __init__(
        self,
        messages: MessageStore,
        last_call: LastCall,
        *,
        limit_s: float = LIMIT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._messages = messages
        self._last_call = last_call
        self._limit_s = limit_s
        self._sleep = sleep
        self._done: list[tuple[Ended, OnSettled]] = []
        self._flushes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, lease: Lease, move: Move, usage: Usage | None = None, *, on_settled: OnSettled) -> None:
        """Begin to bring a message to its next place. What is done is written together with all else that is done by then.

        Args:
            lease (Lease): The right to the message.
            move (Move): Where it goes.
            usage (Usage | None): All that its run used, where the move does not say.
            on_settled (OnSettled): Called once, when that is over.
        """
        if not isinstance(move, Done) or self._last_call.fenced:
            self._apart(self.settle(lease, move, usage), on_settled)
            return
        self._done.append((Ended(lease=lease, result=move.result, usage=move.usage, code_version=move.code_version), on_settled))
        if self._flushes < FLUSHES:
            self._flushes += 1
            self._apart(self._flush(), _nothing)

    def close(self) -> None:
        """Try no longer: the leases end with their worker."""
        for task in self._tasks:
            task.cancel()

    async def settle(self, lease: Lease, move: Move, usage: Usage | None = None) -> None:
        """Bring a message to its next place, trying until the store agrees or the lease is lost.

        Args:
            lease (Lease): The right to the message.
            move (Move): Where it goes.
            usage (Usage | None): All that its run used, where the move does not say.
        """
        if isinstance(move, Release) and move.error is not None:
            await self._sleep(1.0 + chance())  # the store is in trouble: its messages must not spin through the slots
        try:
            await self._insist(lease, move, usage)
        except (LeaseLost, WorkerFenced) as error:
            _tell_lost(lease, error)
        except StoreError as error:
            handle(error, where="worker.settling", what=f"the end of {ids.write(lease.message.id)} could not be written")
            self._last_call.call(WorkerEnd.RECYCLE)  # the lease ends with this worker
        except Exception as error:
            handle(error, where="worker.settling", what=f"the store does not take the end of {ids.write(lease.message.id)}", broke=True)
            if isinstance(move, Bury):
                self._last_call.call(WorkerEnd.RECYCLE)
            else:  # what it refuses once it refuses always: a message must end, if only as a dead letter that says so
                await self.settle(lease, Bury(error=facts_of(error)), usage)

    async def _flush(self) -> None:
        """Write what is done, again and again while there is something; alone only where that fails."""
        try:
            while self._done:
                batch, self._done = self._done[:MOST], self._done[MOST:]
                ends = [ended for ended, _ in batch]
                try:
                    lost = await self._messages.done_many(ends)
                except Exception as error:  # one by one, with patience: then each hears what is its own
                    _log.info("%d endings are written one by one: %s", len(batch), error)
                    for ended, on_settled in batch:
                        done = Done(result=ended.result, usage=ended.usage, code_version=ended.code_version)
                        self._apart(self.settle(ended.lease, done), on_settled)
                else:
                    for (ended, on_settled), refused in zip(batch, lost, strict=True):
                        if refused is not None:
                            _tell_lost(ended.lease, refused)
                        on_settled(None)
        finally:
            self._flushes -= 1

    def _apart(self, writing: Coroutine[Any, Any, None], on_settled: OnSettled) -> None:
        task = asyncio.create_task(writing)
        self._tasks.add(task)

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            on_settled(asyncio.CancelledError() if task.cancelled() else task.exception())

        task.add_done_callback(over)

    async def _insist(self, lease: Lease, move: Move, usage: Usage | None) -> None:
        began, pause_s = awake(), _FIRST_S
        while not self._last_call.fenced:
            try:
                await self._write(lease, move, usage)
            except StoreError as error:
                if isinstance(error, StoreClosed) or awake() - began > self._limit_s:
                    raise
                handle(error, where="worker.settling", what=f"writing the end of {ids.write(lease.message.id)} again in {pause_s:.1f} s")
            else:
                return
            await self._sleep(pause_s * (0.5 + chance()))
            pause_s = min(pause_s * 2, _LONGEST_S)

    async def _write(self, lease: Lease, move: Move, usage: Usage | None) -> None:
        messages = self._messages
        match move:
            case Done():
                await messages.done(lease, move.result, usage=move.usage, code_version=move.code_version)
            case Retry():
                await messages.retry(lease, move.error, at=move.at, step=move.step, usage=usage)
            case Bury():
                await messages.bury(lease, move.error, step=move.step, usage=usage, uses_attempt=move.uses_attempt)
            case Park():
                await messages.park(lease, move.wait)
            case Release():
                await messages.release(lease)
            case Drop():
                raise LeaseLost("the lease was lost while its run was under way")


def _tell_lost(lease: Lease, error: PerdureError) -> None:
    tell("message.lost", message=int(lease.message.id), agent=lease.message.agent, queue=lease.message.queue, code=error.code)


def _nothing(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, asyncio.CancelledError):
        handle(error, where="worker.settling", what="what is done could not be written", broke=True)
