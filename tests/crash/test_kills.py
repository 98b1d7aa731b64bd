"""Proof 2: a worker with fifty runs in flight is killed at twenty random moments. Nothing is lost, nothing recorded is paid twice.

What is counted is counted outside the store: requests by the provider's own log, tool runs by the traces the
tool leaves. The killer looks at the journal right after each kill, while nobody writes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
from collections import Counter
from typing import Any

import msgspec
import pytest

from crash.history import illegal_paths, told_twice, whole_history
from perdure.agents.journal import Decision, Step, StepKind, StepState
from perdure.clock import now
from perdure.messages.message import ENDS, MessageId, State

IN_FLIGHT = 50
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])
CALLS = ("read", "choose", "thank")


class Tally(msgspec.Struct, kw_only=True):
    """Every figure of the proof."""

    kills: int = 0
    put: int = 0
    in_flight_at_kills: int = 0
    open_llm_intents: int = 0
    open_tool_intents: int = 0
    slowest_first_lease_s: float = 0.0
    done: int = 0
    dead: int = 0
    waiting: int = 0
    lost: int = 0
    requests: int = 0
    recorded_calls_made_again: int = 0
    extra_requests: int = 0
    possibly_paid_twice: int = 0
    tool_runs: int = 0
    tool_runs_beyond_one: int = 0
    poison: int = 0
    quarantined: int = 0
    attempts_used_beyond_one: int = 0
    seconds_of_kills: float = 0.0
    seconds: float = 0.0


class Killer:
    """Starts a worker, lets it work, kills it, and looks at what it left open."""

    def __init__(self, ground: Any, seer: Any, dice: random.Random, *, call_s: float) -> None:
        self.ground, self.seer, self.dice, self.call_s = ground, seer, dice, call_s
        self.ids: list[MessageId] = []
        self.tally = Tally()

    async def put(self, count: int) -> None:
        first = len(self.ids)
        self.ids += await self.seer.put("order", [{"n": first + n} for n in range(count)])
        self.tally.put = len(self.ids)

    async def kill_once(self) -> None:
        await self._feed()
        before, began = len(self.ground.requests()), now()
        worker = self.ground.worker("--slots", str(IN_FLIGHT))
        await self.seer.until(lambda: self._answered_since(before, 1), what=f"the worker makes a call: {self.ground.said()}")
        self.tally.slowest_first_lease_s = max(self.tally.slowest_first_lease_s, now() - began)
        await self.seer.until(lambda: self._answered_since(before, 2 * IN_FLIGHT), what="every run in flight gets further")
        await asyncio.sleep(self.dice.uniform(0, 2 * self.call_s))
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        await self._look_at_what_is_open()
        self.tally.kills += 1

    async def _feed(self) -> None:
        ready = len(await self.seer.views(state=State.READY)) + len(await self.seer.views(state=State.LEASED))
        if ready < 3 * IN_FLIGHT:
            await self.put(2 * IN_FLIGHT)

    async def _answered_since(self, before: int, more: int) -> bool:
        return len(self.ground.requests()) >= before + more

    async def _look_at_what_is_open(self) -> None:
        leased = await self.seer.views(state=State.LEASED)
        self.tally.in_flight_at_kills += len(leased)
        for view in leased:
            for step in await self.seer.steps(view.message.id):
                if step.state is StepState.INTENT:
                    self.tally.open_llm_intents += step.key.kind is StepKind.LLM
                    self.tally.open_tool_intents += step.key.kind is StepKind.TOOL


async def all_settled(seer: Any, ids: list[MessageId]) -> bool:
    queue = next(one for one in await seer.store.messages.queues() if one.name == "orders")
    ended = sum(queue.counts.get(state.value, 0) for state in ENDS)
    return ended + queue.counts.get(State.WAITING.value, 0) == len(ids)


async def recorded_calls_made_again(seer: Any, ground: Any, steps: dict[MessageId, list[Step]]) -> int:
    """Count requests that arrived after their answer had been recorded."""
    recorded = {
        str(json.loads(step.request or b"{}")): step.ended_at
        for of_one in steps.values()
        for step in of_one
        if step.key.kind is StepKind.LLM
    }
    ended = {}
    for prompt, at in recorded.items():
        tag = prompt.partition("[tag:")[2].partition("]")[0]
        ended[tag] = at
    return sum(1 for seen in ground.requests() if ended.get(seen.tag) is not None and seen.at > ended[seen.tag])


async def decide_the_waiting(seer: Any, ground: Any, steps: dict[MessageId, list[Step]], waiting: list[Any]) -> None:
    """Be the person who looks into the books of the tool, and says what was true."""
    charged = set(ground.traces("charges"))
    for view in waiting:
        n = json.loads(view.message.body)["n"]
        happened = str(n) in charged
        decision = Decision.HAPPENED if happened else Decision.RUN_AGAIN
        result = json.dumps(f"charged {n}").encode() if happened else None
        await seer.store.journal.decide(view.message.id, view.wait.step, decision, by="key_test", result=result)


async def crash(ground: Any, seer: Any, *, kills: int, seed: int, call_s: float, capsys: pytest.CaptureFixture[str]) -> Tally:
    began, killer = now(), Killer(ground, seer, random.Random(seed), call_s=call_s)
    await killer.put(4 * IN_FLIGHT)
    for _ in range(kills):
        await killer.kill_once()
    killer.tally.seconds_of_kills = round(now() - began, 1)
    last = ground.worker("--slots", str(IN_FLIGHT))
    await seer.until(lambda: all_settled(seer, killer.ids), what=f"every message ends or waits: {ground.said()}", within_s=300)

    tally = killer.tally
    waiting = await seer.views(state=State.WAITING)
    tally.waiting = len(waiting)
    assert all(view.wait.why == "outcome-unknown" for view in waiting)
    steps = {one: list(await seer.steps(one)) for one in killer.ids}
    await decide_the_waiting(seer, ground, steps, waiting)
    await seer.until(lambda: none_waits(seer, killer.ids), what="deciding ends those that waited")
    end_in_order(last)
    await count(tally, ground, seer, killer.ids)
    tally.seconds = round(now() - began, 1)
    with capsys.disabled():
        print(f"\ncrash test, seed {seed}: {json.dumps(msgspec.to_builtins(tally))}")
    return tally


async def none_waits(seer: Any, ids: list[MessageId]) -> bool:
    return await all_settled(seer, ids) and not await seer.views(state=State.WAITING)


def end_in_order(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    assert worker.wait(30) == 0


async def count(tally: Tally, ground: Any, seer: Any, ids: list[MessageId]) -> None:
    views = {view.message.id: view for view in await seer.views()}
    tally.lost = len(set(ids) - views.keys())
    states = Counter(view.state for view in views.values())
    tally.done, tally.dead = states[State.DONE], states[State.DEAD]
    tally.poison = sum(view.error is not None and view.error.code == "poison" for view in views.values())
    tally.quarantined = sum(view.crashes >= 2 for view in views.values())
    tally.attempts_used_beyond_one = sum(view.attempt > 1 for view in views.values())
    steps = {one: list(await seer.steps(one)) for one in ids}
    requests = ground.requests()
    tally.requests = len(requests)
    tally.recorded_calls_made_again = await recorded_calls_made_again(seer, ground, steps)
    tally.extra_requests = len(requests) - len({seen.tag for seen in requests})
    tally.possibly_paid_twice = (await seer.store.messages.counters()).get("possibly_paid_twice", 0)
    told = await whole_history(seer.store.messages)
    assert illegal_paths(told) == told_twice(told) == []
    runs = Counter(ground.traces("charges"))
    tally.tool_runs = runs.total()
    tally.tool_runs_beyond_one = sum(count - 1 for count in runs.values())
    for view in views.values():
        if view.state is State.DONE:
            n = json.loads(view.message.body)["n"]
            result = json.loads(view.result or b"null")
            assert (result["n"], result["charged"]) == (n, f"charged {n}")
            assert result["last"] == f"answer to: [tag:{n}-thank]"


def hold(tally: Tally) -> None:
    """What proof 2 says."""
    assert tally.lost == 0
    assert tally.done == tally.put, "every message was done once those that waited were decided"
    assert (tally.dead, tally.poison) == (0, 0)
    assert tally.recorded_calls_made_again == 0
    assert tally.tool_runs_beyond_one == 0
    assert tally.tool_runs == tally.put
    assert tally.extra_requests <= tally.possibly_paid_twice <= tally.open_llm_intents
    assert tally.waiting <= tally.open_tool_intents
    assert tally.attempts_used_beyond_one == 0, "a crash uses no attempt"
    assert tally.in_flight_at_kills >= tally.kills * IN_FLIGHT * 0.5, "the kills hit a worker at work"
    assert tally.open_llm_intents > 0, "some kill fell into a call, else nothing was tried"


@BOTH
@pytest.mark.timeout(600)
async def test_thirty_kills_lose_nothing_and_pay_nothing_twice(
    ground: Any, seer: Any, upstream_delay_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(await crash(ground, seer, kills=30, seed=random.SystemRandom().randrange(1 << 30), call_s=upstream_delay_s, capsys=capsys))


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
async def test_a_thousand_kills(ground: Any, seer: Any, upstream_delay_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    hold(
        await crash(
            ground,
            seer,
            kills=int(os.environ.get("CRASH_KILLS", "1000")),
            seed=random.SystemRandom().randrange(1 << 30),
            call_s=upstream_delay_s,
            capsys=capsys,
        )
    )
