"""One attempt of an agent at one message, from the journal to an ending.

    read journal and payload ─▶ start the agent ─▶ whichever comes first ─▶ stop what is left ─▶ ending
                                                   · it returns or raises
                                                   · all its open calls wait: park
                                                   · this worker may not go on: raise
                                                   · its time is up

The agent's own task (or thread) is never trusted to end when told to: it gets `grace_s`, then it is left
behind and counted as hung.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.agents.agent import Agent
from perdure.agents.bridge import RunStopped
from perdure.agents.call import SCOPE
from perdure.agents.journal import FORMAT
from perdure.agents.limits import Limits
from perdure.agents.parts import Ending, Failed, Finished, Parked, RunParts
from perdure.agents.run import Run
from perdure.agents.steps import Steps
from perdure.agents.sync import SyncRun
from perdure.agents.threads import RUNNER, Threads
from perdure.agents.waits import BRANCH
from perdure.clock import chance
from perdure.errors.base import (
    AgentFailed,
    ConfigError,
    DeadlinePassed,
    ErrorFacts,
    InvalidInput,
    InvalidResult,
    LeaseError,
    OutcomeUnknown,
    PerdureError,
    RunLimit,
    RunTimeout,
    StoreError,
    ToolFailed,
)
from perdure.errors.report import facts_of
from perdure.messages.message import Lease
from perdure.messages.retry import for_newer
from perdure.messages.terms import max_cost_of
from perdure.tools.plain import load

__all__ = ["perform"]

_NUDGES = 3
_MAX_CAUSES = 10


async def perform(agent: Agent, lease: Lease, parts: RunParts) -> Ending:
    """Let an agent work on a message, once.

    Args:
        agent (Agent): Whom the message is for.
        lease (Lease): The right to it.
        parts (RunParts): The world.

    Returns:
        Ending: What came of it; nothing of it has been written to the message yet.

    Raises:
        LeaseError: The message is no longer this worker's.
        StoreError: What the run did could not be kept.
    """
    recorded = await parts.journal.steps(lease.message.id, shown=False) if lease.begun else ()
    newest = max((step.format for step in recorded), default=FORMAT)
    if newest > FORMAT:
        return Parked(wait=for_newer(newest, now=parts.clock.now(), dice=chance()))
    steps = Steps(lease, recorded, parts, _limits_of(agent, lease), capture=agent.capture, code_version=agent.version)
    ending = await _Attempt(agent, steps).ending()
    await steps.count_saved()
    return ending


def _limits_of(agent: Agent, lease: Lease) -> Limits:
    """The agent's, and the lower of two limits of cost."""
    said = max_cost_of(lease.message.metadata)
    if said is None:
        return agent.limits
    mine = agent.limits.max_cost_usd
    return msgspec.structs.replace(agent.limits, max_cost_usd=said if mine is None else min(said, mine))


class _Attempt:
    def __init__(self, agent: Agent, steps: Steps) -> None:
        self._agent = agent
        self._steps = steps
        self._parts = steps.parts
        self._threads = Threads()
        self._hung = False

    async def ending(self) -> Ending:
        try:
            body = load(self._steps.lease.message.body)
            payload = self._agent.read(body)
        except (InvalidInput, ConfigError) as error:
            return Failed(error=facts_of(error), step=None, usage=self._steps.spending.total())
        limits = self._limits()
        time_s = min(limits, default=None)
        work = asyncio.create_task(self._worked(Run(self._agent, self._steps, self._threads, body), payload))
        try:
            in_time = await self._in_time(work, time_s)
        finally:
            await self._stop(work)
        return await self._judged(work, None if in_time or time_s is None else limits[time_s]())

    async def _worked(self, run: Run, payload: Any) -> Any:
        """Carry the agent out, in a context of its own; its `SystemExit` is not ours (Ctrl-C comes as a signal, not from here)."""
        SCOPE.set("")
        BRANCH.set(None)
        RUNNER.set(None)
        more = (payload,) if self._agent.takes_payload else ()
        try:
            if self._agent.is_async:
                return await self._agent.function(run, *more)
            sync = SyncRun(run, self._steps.blame, asyncio.get_running_loop())
            return await self._threads.run(self._parts.threads, lambda: self._agent.function(sync, *more))
        except (SystemExit, KeyboardInterrupt, RunStopped) as error:
            raise AgentFailed(f"the agent ended with {type(error).__name__}") from error

    def _limits(self) -> dict[float, Callable[[], PerdureError]]:
        """How long this attempt may take, and what it means if it takes longer."""
        message = self._steps.lease.message
        limits: dict[float, Callable[[], PerdureError]] = {}
        if (left_s := self._steps.spending.time_left_s) is not None:
            limits[left_s] = self._over_limit
        if message.deadline is not None:
            limits[max(0.0, message.deadline - self._parts.clock.now())] = _late
        timeout_s = self._agent.timeout_s if message.timeout_s is None else message.timeout_s
        if timeout_s is not None:
            limits[timeout_s] = lambda: _timed_out(timeout_s)
        return limits

    def _over_limit(self) -> PerdureError:
        return RunLimit("time", f"the run took longer than {self._agent.limits.max_time_s} s", hint="Raise the agent's `max_time_s`.")

    async def _in_time(self, work: asyncio.Task[Any], time_s: float | None) -> bool:
        calls = self._steps.open
        halted: asyncio.Future[Any] = calls.halted
        loop = asyncio.get_running_loop()
        end = None if time_s is None else loop.time() + time_s
        await _either(work, halted, time_s)
        if not work.done() or halted.done():
            return halted.done()
        calls.closed = self._steps.draining = True
        if not calls.working:
            return True
        drained = asyncio.create_task(calls.drained())  # the agent has ended; calls it left under way end and are recorded first
        left_s = None if end is None else max(0.0, end - loop.time())
        try:
            await asyncio.wait({drained, halted}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            return drained.done() or halted.done()
        finally:
            drained.cancel()

    async def _stop(self, work: asyncio.Task[Any]) -> None:
        left: set[asyncio.Task[Any]] = self._steps.open.close() | {work}
        for _ in range(_NUDGES):  # code that catches one `CancelledError` mostly does not catch two
            left = {task for task in left if not task.done()}
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=self._parts.grace_s / _NUDGES)
        ended = await self._threads.ended(self._parts.grace_s)
        self._hung = not ended or not all(task.done() for task in left)
        if work.done() and not work.cancelled():
            work.exception()  # has been looked at, whoever asked us to stop

    async def _judged(self, work: asyncio.Task[Any], time_up: PerdureError | None) -> Ending:
        calls = self._steps.open
        halt = calls.halted.result() if calls.halted.done() else calls.unknown
        if isinstance(halt, PerdureError):
            raise halt
        if halt is not None:
            return Parked(wait=halt, hung=self._hung)
        if time_up is not None or not work.done():
            return await self._failed(time_up or RunTimeout("the agent did not end"))
        if work.cancelled():
            return await self._failed(AgentFailed("the agent was cancelled from within"))
        error = work.exception()
        if error is not None:
            return await self._failed(error)
        try:
            return Finished(result=self._agent.write(work.result()), usage=self._steps.spending.total())
        except (InvalidResult, ConfigError) as wrong:
            return await self._failed(wrong)

    async def _failed(self, error: BaseException) -> Failed:
        """Blame one step; others that failed beside it are to be made again as well."""
        error = self._steps.blame.own(error)
        blamed = self._steps.blame.steps(error)
        facts = _of_tool(_facts(error, of_step=bool(blamed)), self._steps.tool_of(blamed[0]) if blamed else None)
        for number in blamed[1:]:
            await self._steps.defer(number, facts)
        return Failed(error=facts, step=blamed[0] if blamed else None, usage=self._steps.spending.total(), hung=self._hung)


async def _either(work: asyncio.Task[Any], halted: asyncio.Future[Any], time_s: float | None) -> None:
    """Wait until one of the two is done or the time is up, with less ado than `asyncio.wait`: this is done for every message."""
    loop = asyncio.get_running_loop()
    one: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not one.done():
            one.set_result(None)

    timer = None if time_s is None else loop.call_later(time_s, wake)
    work.add_done_callback(wake)
    halted.add_done_callback(wake)
    try:
        await one
    finally:
        work.remove_done_callback(wake)
        halted.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()


def _late() -> PerdureError:
    return DeadlinePassed("the deadline passed while the message was worked on")


def _timed_out(timeout_s: float) -> PerdureError:
    return RunTimeout(f"the attempt took longer than {timeout_s} s", hint="Raise `timeout_s`, or do less in one message.")


def _of_tool(facts: ErrorFacts, tool: tuple[str, str | None] | None) -> ErrorFacts:
    if tool is None:
        return facts
    return msgspec.structs.replace(facts, evidence=msgspec.structs.replace(facts.evidence, tool=tool[0], tool_version=tool[1]))


def _facts(error: BaseException, *, of_step: bool) -> ErrorFacts:
    """Say what ended the attempt; of several errors a permanent one, since it makes another attempt pointless."""
    if isinstance(error, BaseExceptionGroup):
        members = [_facts(one, of_step=of_step) for one in error.exceptions]
        worst = next((one for one in members if not one.retryable), members[0])
        others = [f"{one.code}: {one.message}" for one in members if one is not worst]
        return msgspec.structs.replace(worst, causes=[*worst.causes, *others][:_MAX_CAUSES])
    if isinstance(error, (LeaseError, StoreError, OutcomeUnknown)):  # not of this run's own store or steps: those never get here
        error = AgentFailed(f"{type(error).__name__}: {error}", hint=error.hint)
    return facts_of(error, kind=ToolFailed if of_step else AgentFailed)
