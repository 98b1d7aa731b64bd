"""The open calls of a run, and when it should wait without a worker.

Theory of operation: every call of a run is open from its first line to its last, and it either works or
waits for something. As soon as *all* open calls wait, and the earliest moment any of them waits for is
further off than `park_after_s`, nothing can happen here for a while: the run is halted and its message
parked. Other branches of the agent may just be about to make a call, so that is looked at twice, a few
loop turns apart. While one call still works, the others wait in place, and go on if their moment comes.

`halted` is how the run's owner learns of it: with the wait to park for, or with the error because of
which this worker may not go on. From then on every call ends with `CancelledError`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

import msgspec

from perdure.agents.parts import RunParts
from perdure.clock import Moment
from perdure.errors.base import PerdureError
from perdure.messages.message import Wait

__all__ = ["BRANCH", "Branch", "Halt", "OpenCall", "OpenCalls"]

Halt: TypeAlias = Wait | PerdureError

_SETTLE_S = 0.01
_SETTLE_TURNS = 3
_LOOK_AGAIN_S = 60.0  # clocks are set, machines are suspended


class Branch:
    """One of several parallel parts of a run, which can be stopped without cutting a call off.

    Args:
        outer (Branch | None): The branch it is part of.
    """

    def __init__(self, outer: Branch | None) -> None:
        self._outer = outer
        self._working = 0
        self._stopped = False
        self._task: asyncio.Task[Any] | None = None

    @property
    def stopped(self) -> bool:
        """Whether it may make no more calls."""
        return self._stopped or (self._outer is not None and self._outer.stopped)

    def stop(self, task: asyncio.Task[Any] | None) -> None:
        """Let its calls under way end, then cancel it.

        Args:
            task (asyncio.Task[Any] | None): What carries it out; None for threads, which end at their next call.
        """
        self._stopped, self._task = True, task
        self._end_if_idle()

    def work(self, change: int) -> None:
        """Count the calls that work in it.

        Args:
            change (int): 1 when a call begins to work, -1 when it no longer does.
        """
        self._working += change
        self._end_if_idle()
        if self._outer is not None:
            self._outer.work(change)

    def _end_if_idle(self) -> None:
        if self._stopped and self._task is not None and not self._working:
            self._task.cancel()


BRANCH: ContextVar[Branch | None] = ContextVar("perdure_branch", default=None)


class OpenCall:
    """One open call. It works until it says for what it waits.

    Args:
        calls (OpenCalls): All of its run.
    """

    def __init__(self, calls: OpenCalls) -> None:
        self._calls = calls
        self._branch = BRANCH.get()
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.waits_for: Wait | None = None
        self._count(1)

    async def wait(self, wait: Wait, *, look_s: float | None = None) -> None:
        """Wait in place, unless the whole run is parked meanwhile.

        Args:
            wait (Wait): For what; without a moment it never returns.
            look_s (float | None): Return after so long all the same, to look whether an event has come.
        """
        self._change(wait)
        try:
            await self._calls.until(wait.until, look_s)
        finally:
            self._change(None)

    def leave(self) -> None:
        """End."""
        self._calls.remove(self)
        self._count(0 if self.waits_for else -1)

    def _change(self, wait: Wait | None) -> None:
        self._count((wait is None) - (self.waits_for is None))
        self.waits_for = wait
        self._calls.changed()

    def _count(self, change: int) -> None:
        if self._branch is not None and change:
            self._branch.work(change)


class OpenCalls:
    """All open calls of one run.

    Args:
        parts (RunParts): For its clock and its patience.
    """

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._calls: set[OpenCall] = set()
        self._changes = 0
        self._settling = False
        self._moved = asyncio.Event()
        self.halted: asyncio.Future[Halt] = self._loop.create_future()
        self.closed: bool = False
        """No call may begin any more."""
        self.cancelling: bool = False
        """What ends from now on was cut off by us, not by the agent."""
        self.unknown: Wait | None = None
        """A call of which a person has to say whether it happened: the run cannot end before."""
        self.cut: bool = False
        """The agent itself cut that call off and went on: it must not get any further now."""
        self._at_end: list[Callable[[], None]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the run lives."""
        return self._loop

    def at_end(self, then: Callable[[], None]) -> None:
        """Have something done when the run is closed.

        Args:
            then (Callable[[], None]): What.
        """
        self._at_end.append(then)

    def enter(self) -> OpenCall:
        """Begin a call.

        Returns:
            OpenCall: Working.

        Raises:
            CancelledError: The run, or this branch of it, has been stopped.
        """
        branch = BRANCH.get()
        if self.closed or (branch is not None and branch.stopped):
            raise asyncio.CancelledError("the run has been stopped")
        call = OpenCall(self)
        self._calls.add(call)
        self.changed()
        return call

    def remove(self, call: OpenCall) -> None:
        """End a call.

        Args:
            call (OpenCall): Which.
        """
        self._calls.discard(call)
        self.changed()

    def changed(self) -> None:
        """Look whether the run should be parked, now that a call has begun, ended or waits."""
        self._changes += 1
        self._moved.set()
        self._look()

    async def until(self, moment: Moment | None, look_s: float | None = None) -> None:
        """Wait in place.

        Args:
            moment (Moment | None): Until when; None for ever.
            look_s (float | None): No longer than this.
        """
        if look_s is not None:
            left_s = math.inf if moment is None else moment - self._parts.clock.now()
            if left_s > self._parts.park_after_s:  # either the run is about to be parked, or another call works meanwhile
                await asyncio.sleep(look_s)
            elif left_s > 0:
                await self._parts.sleep(min(look_s, left_s))
            return
        if moment is None:
            await self._loop.create_future()
            return
        while (left_s := moment - self._parts.clock.now()) > 0:
            await self._parts.sleep(min(left_s, _LOOK_AGAIN_S))

    def lose(self, error: PerdureError) -> None:
        """Halt: this worker may not, or cannot, write any more.

        Args:
            error (PerdureError): Why.
        """
        self.closed = True
        if not self.halted.done():
            self.halted.set_result(error)

    def ask_person(self, wait: Wait, *, cut: bool = False) -> None:
        """Note a call whose outcome is unknown; the one that comes first in the journal counts.

        Args:
            wait (Wait): Naming its step.
            cut (bool): The agent cut it off and may go on without it.
        """
        self.cut = self.cut or cut
        if self.unknown is None or (wait.step or 0) < (self.unknown.step or 0):
            self.unknown = wait

    def close(self) -> set[asyncio.Task[Any]]:
        """Let no call begin any more, and cancel those that are open.

        Returns:
            set[asyncio.Task[Any]]: The tasks that were cancelled.
        """
        self.closed = self.cancelling = True
        for then in self._at_end:
            then()
        tasks = {call.task for call in self._calls if call.task is not None}
        for task in tasks:
            task.cancel()
        return tasks

    @property
    def working(self) -> bool:
        """Whether any open call works, and does not just wait."""
        return any(call.waits_for is None for call in self._calls)

    async def drained(self) -> None:
        """Wait until no open call works any more; those that wait are of no use now."""
        while self.working:
            self._moved.clear()
            await self._moved.wait()

    def _look(self) -> None:
        if not self._settling and not self.closed and self._to_park() is not None:
            self._settling = True
            self._loop.call_later(_SETTLE_S, self._settle, self._changes, _SETTLE_TURNS)

    def _settle(self, changes: int, turns: int) -> None:
        if self.closed:
            return
        if changes == self._changes and turns:
            self._loop.call_soon(self._settle, changes, turns - 1)
            return
        self._settling = False
        wait = self._to_park()
        if changes != self._changes:
            self._look()
        elif wait is not None and not self.halted.done():
            self.closed = True
            self.halted.set_result(wait)

    def _to_park(self) -> Wait | None:
        waits = [call.waits_for for call in self._calls if call.waits_for is not None]
        if not waits or len(waits) < len(self._calls):
            return None
        if self.unknown is not None:
            return self.unknown
        first = min(waits, key=_end_of)
        return _all_in_one(first, waits) if _end_of(first) - self._parts.clock.now() > self._parts.park_after_s else None


def _all_in_one(first: Wait, waits: list[Wait]) -> Wait:
    """One wait for whatever comes first, shown as one for an event if there is any."""
    events = tuple(dict.fromkeys(event for wait in waits for event in wait.events))
    if not events:
        return first
    shown = first if first.events else next(wait for wait in waits if wait.events)
    return msgspec.structs.replace(shown, until=first.until, events=events)


def _end_of(wait: Wait) -> Moment:
    return math.inf if wait.until is None else wait.until
