"""Try an agent out, in memory, with a crash wherever you like.

    outcome = await run_agent(triage, {"ticket": "…"}, provider=FakeProvider(replies=["billing"]), crash_after="every")
    assert outcome.result == {"team": "billing"}

A crash takes the worker away right after a step was committed: whatever the run still had in its hands is
gone, a second worker takes the message, and the journal answers for what was done. Time stands still
except where the run waits, and then it jumps: an agent that sleeps for a month is tested in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec

from perdure.agents.agent import Agent
from perdure.agents.journal import Step
from perdure.errors.base import ErrorFacts
from perdure.messages.message import ENDS, MessageId, NewMessage, State, Wait
from perdure.messages.store import Filter
from perdure.providers.protocol import ChatProvider
from perdure.resources.usage import Usage
from perdure.stores.inmemory import InMemoryStore
from perdure.testing.clock import FakeClock
from perdure.testing.provider import FakeProvider
from perdure.testing.stage import Counted, Stage
from perdure.tools.plain import dump, load

__all__ = ["Outcome", "run_agent"]

_ROUNDS = 1000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message."""

    state: State
    result: Any
    """What the agent returned, as plain data; None if it did not."""
    error: ErrorFacts | None
    """Why it is dead."""
    wait: Wait | None
    """What it waits for: only a person can end that."""
    steps: Sequence[Step]
    """The journal."""
    calls: int
    """LLM calls that reached the provider."""
    possibly_paid_twice: int
    usage: Usage | None
    attempts: int
    crashes: int
    """Crashes that were injected."""
    parks: int
    """How often it waited without a worker."""
    memory: Mapping[str, Any]
    """The agent's memory afterwards."""


async def run_agent(
    agent: Agent,
    body: Any,
    *,
    provider: ChatProvider | None = None,
    crash_after: int | Literal["every"] | None = None,
    crash_during: int | None = None,
    memory: Mapping[str, Any] | None = None,
    signals: Sequence[tuple[str, Any]] = (),
    others: Sequence[Agent] = (),
    attempts: int = 3,
    timeout_s: float = 10.0,
) -> Outcome:
    """Let an agent work on one message, to its end.

    Args:
        agent (Agent): Made with `@agent`.
        body (Any): The payload.
        provider (ChatProvider | None): Answers whatever model is asked; None is a `FakeProvider`.
        crash_after (int | Literal["every"] | None): Crash when this many steps have been recorded, from 1;
            `every` tries each in turn, and makes sure that the end is the same and that no recorded call
            is made again.
        crash_during (int | None): Crash when this many steps have been intended, before the last of them is made.
        memory (Mapping[str, Any] | None): What the agent remembers from before.
        signals (Sequence[tuple[str, Any]]): What it is told: names and data, in this order.
        others (Sequence[Agent]): To whom it may send messages.
        attempts (int): How often it is tried.
        timeout_s (float): How long one attempt may really take.

    Returns:
        Outcome: Of the run without a crash where every crash was tried.

    Raises:
        AssertionError: A crash changed the outcome.
    """
    asked = provider or FakeProvider()
    new = NewMessage(agent=agent.name, body=dump(body), queue=agent.queue, attempts=attempts, timeout_s=agent.timeout_s or timeout_s)
    trial = _Trial([agent, *others], new, asked, memory or {}, [(name, dump(data)) for name, data in signals])
    if crash_after != "every":
        return await trial.outcome(after=crash_after, during=crash_during)
    whole = await trial.outcome(after=None, during=None)
    for place in range(1, trial.commits + 1):
        if isinstance(asked, FakeProvider):
            asked.calls.clear()  # its script begins anew
        crashed = await trial.outcome(after=place, during=None)
        assert crashed.crashes == 1, f"the run recorded fewer than {place} steps this time"
        assert (crashed.state, crashed.result) == (whole.state, whole.result), (
            f"after a crash at step {place} the message is {crashed.state.value} with {crashed.result!r} ({crashed.error}), "
            f"without it is {whole.state.value} with {whole.result!r}"
        )
        assert crashed.memory == whole.memory, f"a crash at step {place} changed the memory: {crashed.memory!r}, not {whole.memory!r}"
        extra = crashed.calls - whole.calls
        assert extra <= crashed.possibly_paid_twice, f"a crash at step {place} made {extra} recorded calls again"
    return whole


async def _goes_on(stage: Stage) -> bool:
    """Let whatever is ready run, or time pass until something is; False if only somebody outside can help."""
    messages = stage.store.messages
    if (await messages.list(Filter(state=State.READY), limit=1)).views:
        await stage.round()
        return True
    next_at = (await messages.tend()).next_due_at
    if next_at is None:
        return bool((await messages.list(Filter(state=State.READY), limit=1)).views)
    stage.clock.pass_by(seconds=max(0.0, next_at - stage.clock.now()))
    await messages.tend()
    return True


class _Trial:
    def __init__(
        self,
        agents: Sequence[Agent],
        new: NewMessage,
        provider: ChatProvider,
        memory: Mapping[str, Any],
        signals: Sequence[tuple[str, bytes]],
    ) -> None:
        self._agents = agents
        self._agent = agents[0]
        self._new = new
        self._signals = signals
        self._provider = Counted(provider)
        self._memory = memory
        self.commits = 0
        """Steps that were recorded in the last trial, each time counted."""

    async def outcome(self, *, after: int | None, during: int | None) -> Outcome:
        clock = FakeClock()
        self._provider.count = 0
        threads = ThreadPoolExecutor(thread_name_prefix="perdure-run-agent")
        try:
            async with InMemoryStore(clock=clock) as store:
                for key, value in self._memory.items():
                    await store.memory.write("default", self._agent.memory, key, dump(value))
                [receipt] = await store.messages.put([self._new])
                for name, data in self._signals:
                    await store.messages.signal(receipt.id, name, data)
                stage = Stage(self._agents, store, clock, self._provider, threads, after, during)
                try:
                    return await self._ended(stage, receipt.id)
                finally:
                    await stage.endpoint.close_all()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _ended(self, stage: Stage, id: MessageId) -> Outcome:
        for _ in range(_ROUNDS):
            view = await stage.store.messages.get(id)
            if view.state in ENDS or not await _goes_on(stage):
                break
        else:
            raise AssertionError(f"the message has not ended after {_ROUNDS} rounds")
        self.commits = stage.journal.commits
        return Outcome(
            state=view.state,
            result=None if view.result is None else load(view.result),
            error=view.error,
            wait=view.wait,
            steps=await stage.store.journal.steps(id),
            calls=self._provider.count,
            possibly_paid_twice=(await stage.store.messages.counters()).get("possibly_paid_twice", 0),
            usage=view.usage,
            attempts=view.attempt,
            crashes=stage.journal.crashes,
            parks=stage.parks,
            memory=await self._remembered(stage),
        )

    async def _remembered(self, stage: Stage) -> dict[str, Any]:
        found = {}
        for key in sorted(stage.journal.remembered | set(self._memory)):
            value = await stage.store.memory.read("default", self._agent.memory, key)
            if value is not None:
                found[key] = load(value)
        return found
