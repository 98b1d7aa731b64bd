"""One lease, from taking it to its end: begin, and `_end` when the work has ended.

Theory of operation: the agent's work runs in a task of its own, so that it can be called off - by the
message's deadline, by an orderly stop, by fencing. The executor is no task: it hears when the work ends and
says what becomes of the message. What that is, is decided by plain rules (`messages/retry.py`); the store is then
asked for it until it agrees. The slot is free as soon as the work has ended; only the lease is kept until the commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeAlias

import msgspec

from perdure.agents.agent import Agent
from perdure.agents.parts import Ending, Failed, Finished, Parked, RunParts
from perdure.agents.perform import perform
from perdure.clock import Clock, chance, iso
from perdure.errors.base import AgentFailed, DeadlinePassed, LeaseError, PerdureError, RunCancelled, StoreError, WorkerFenced
from perdure.errors.handler import handle
from perdure.errors.report import facts_of
from perdure.messages import ids
from perdure.messages.message import Lease
from perdure.messages.retry import Backoff, Bury, Park, Release, fate
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.settle import Done, Drop, Move, OnSettled, Settler

__all__ = ["CalledOff", "Executor", "Workplace"]

CANCEL_GRACE_S = 2.0
"""How long called-off work may take to end before it counts as hung."""
_log = logging.getLogger("perdure.worker")
_Ended: TypeAlias = Ending | Exception | None
"""How work ended; None where it was called off."""


class CalledOff(Enum):
    """Why work was called off before it ended."""

    STOPPING = auto()  # an orderly stop: released from its last step
    FENCED = auto()  # the worker was declared dead: everything is dropped
    DEADLINE = auto()
    CANCELLED = auto()  # somebody called the message off: given back, which ends it


class Workplace(msgspec.Struct, frozen=True, kw_only=True):
    """What all executors of a worker share."""

    parts: RunParts
    settler: Settler
    last_call: LastCall
    clock: Clock
    backoff: Backoff


class Executor:
    """Works one lease.

    Args:
        lease (Lease): The right to the message.
        agent (Agent): Whose work it is.
        place (Workplace): What it shares with the others.
        on_free (Callable[[], None]): Called once, when the slot is free again.
        on_settled (OnSettled): Called once, when the message has reached its next place, or with why it has not.
    """

    def __init__(self, lease: Lease, agent: Agent, place: Workplace, *, on_free: Callable[[], None], on_settled: OnSettled) -> None:
        self.lease: Lease = lease
        self._agent = agent
        self._place = place
        self._on_free = on_free
        self._on_settled = on_settled
        self._work: asyncio.Task[Ending] | None = None
        self._why: CalledOff | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self) -> None:
        """Have the agent begin, unless there is no time left."""
        left_s = self._time_left_s()
        if left_s is not None and left_s <= 0:
            self._why = self._why or CalledOff.DEADLINE
        if self._why is not None:
            self._end(None)
            return
        if left_s is not None:
            self._after(left_s, lambda: self.call_off(CalledOff.DEADLINE))
        self._work = asyncio.create_task(perform(self._agent, self.lease, self._place.parts))
        self._work.add_done_callback(self._ended)

    def call_off(self, why: CalledOff) -> None:
        """Stop the work; the message goes where `why` says, unless the work has ended already.

        Args:
            why (CalledOff): The reason.
        """
        first = self._why is None
        if first or why is CalledOff.FENCED:
            self._why = why
        if first and self._work is not None and not self._work.done():
            self._work.cancel()
            self._after(CANCEL_GRACE_S, self._give_up)

    # In order of telling -----------------------------------------------------------------------------

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, then))

    def _time_left_s(self) -> float | None:
        deadline = self.lease.message.deadline
        return None if deadline is None else deadline - self._place.clock.now()

    def _give_up(self) -> None:
        """The work goes on although it was called off: it is left behind."""
        if self._work is not None and not self._work.done():
            self._work.remove_done_callback(self._ended)
            self._work.add_done_callback(_forget)
            self._recycle("it goes on although it was called off")
            self._end(None)

    def _ended(self, work: asyncio.Task[Ending]) -> None:
        if work.cancelled():
            self._end(None)
        elif (error := work.exception()) is None:
            self._end(work.result())
        elif isinstance(error, Exception):
            self._end(error)
        else:  # not for us to judge: the lease goes back with its worker
            self._free()
            self._on_settled(error)

    def _end(self, ending: _Ended) -> None:
        self._free()
        usage = ending.usage if isinstance(ending, Failed) else None
        self._place.settler.begin(self.lease, self._decided(ending), usage, on_settled=self._on_settled)

    def _free(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._on_free()

    def _decided(self, ending: _Ended) -> Move:
        """Decide, whatever goes wrong in that: else the message would come back to break the next worker as well."""
        try:
            self._notice(ending)
            return self._decide(ending)
        except Exception as error:
            what = f"what becomes of message {self.lease.message.id} cannot be decided; it is buried"
            handle(error, where="worker", what=what, broke=True)
            return Bury(error=facts_of(error, kind=PerdureError))

    def _notice(self, ending: _Ended) -> None:
        """Let the rest of the worker know what concerns more than this message."""
        if isinstance(ending, Failed | Parked) and ending.hung:
            self._recycle("its thread hangs")
        if isinstance(ending, WorkerFenced):
            self._place.last_call.call(WorkerEnd.FENCED)

    def _decide(self, ending: _Ended) -> Move:
        if self._why is CalledOff.FENCED or self._place.last_call.fenced:
            return Drop()
        if isinstance(ending, Finished):
            return Done(result=ending.result, usage=ending.usage, code_version=self._agent.version)
        if isinstance(ending, Parked):
            if ending.wait.error is not None:
                handle(ending.wait.error, where="run", message=ids.write(self.lease.message.id), agent=self.lease.message.agent)
            return Park(wait=ending.wait)
        if self._why in {CalledOff.STOPPING, CalledOff.CANCELLED} or isinstance(ending, RunCancelled):
            return Release()
        if self._why is CalledOff.DEADLINE:
            return Bury(error=self._late().facts(), uses_attempt=False)
        return self._fate(ending)

    def _fate(self, ending: Failed | Exception | None) -> Move:
        match ending:
            case Failed():
                error, step = ending.error, ending.step
            case None:
                error, step = AgentFailed("the agent cancelled itself").facts(), None
            case _:
                if not isinstance(ending, StoreError | LeaseError):  # a lease may only seem lost, while beats are late: the store knows
                    handle(ending, where="worker", what=f"the run of message {self.lease.message.id} broke", broke=True)
                error, step = facts_of(ending), None
        place, message = self._place, self.lease.message
        about: dict[str, Any] = {"message": ids.write(message.id), "agent": message.agent, "queue": message.queue}
        handle(error, where="run", attempt=self.lease.attempt, step=step, **about)
        return fate(error, lease=self.lease, step=step, now=place.clock.now(), dice=chance(), backoff=place.backoff)

    def _late(self) -> DeadlinePassed:
        return DeadlinePassed(
            f"the deadline {iso(self.lease.message.deadline)} passed before the message was done",
            hint="Put it with a later deadline, or with a higher priority.",
        )

    def _recycle(self, because: str) -> None:
        _log.warning("message %d gives its slot up: %s; this worker recycles itself", self.lease.message.id, because)
        self._place.last_call.call(WorkerEnd.RECYCLE)


def _forget(work: asyncio.Task[Ending]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        _log.info("work that was given up ended at last: %s", error)
