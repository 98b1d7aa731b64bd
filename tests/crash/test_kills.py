"""Proof 2: a worker with fifty runs in flight is killed at random moments. Nothing is lost, nothing recorded is paid twice.

What is counted is counted outside the store: requests by the provider's own log, tool runs by the traces the tool leaves. The
killer looks at the journal right after each kill, while nobody writes. Some messages stand in lines, some are of low priority.

CRASH_SEED=7 tries the same moments again; CRASH_KILLS=1000 says how many kills the long form has.
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

from crash.books import Books, check_everything
from crash.deciding import decide_the_waiting
from crash.seeds import seed
from crash.watch import Watch
from perdure.agents.journal import StepKind, StepState
from perdure.clock import now
from perdure.messages.dead import POISON_AT
from perdure.messages.message import ENDS, IDLE, MessageId, State

IN_FLIGHT = 50
LINES = 5
LEASERS = 2 + (IN_FLIGHT + 15) // 16
"""The one that lives and the one killed before it, whose last turn was lost; and of fifty taken at once the earliest are told first."""
BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgres"])


class Tally(msgspec.Struct, kw_only=True):
    """Every figure of the proof."""

    kills: int = 0
    put: int = 0
    in_flight_at_kills: int = 0
    kills_at_rest: int = 0
    """That hit a worker which held nothing just then."""
    open_llm_intents: int = 0
    open_tool_intents: int = 0
    slowest_first_lease_s: float = 0.0
    done: int = 0
    dead: int = 0
    decided: int = 0
    requests: int = 0
    extra_requests: int = 0
    possibly_paid_twice: int = 0
    tool_runs: int = 0
    poison: int = 0
    quarantined: int = 0
    attempts_used_beyond_one: int = 0
    recorded_calls_seen: int = 0
    seconds_of_kills: float = 0.0
    seconds: float = 0.0


class Killer:
    """Starts a worker, lets it work, kills it, and looks at what it left open."""

    def __init__(self, ground: Any, seer: Any, dice: random.Random, *, call_s: float) -> None:
        self.ground, self.seer, self.dice, self.call_s = ground, seer, dice, call_s
        self.watch = Watch(lambda: Counter(seen.tag for seen in ground.requests()))
        self.ids: list[MessageId] = []
        self.tally = Tally()

    async def put(self, count: int) -> None:
        """Put orders: every tenth stands in a line, and every tenth may wait."""
        for n in range(len(self.ids), len(self.ids) + count):
            line = {"session": f"line-{n // 10 % LINES}"} if n % 10 == 0 else {}
            self.ids += await self.seer.put("order", [{"n": n}], priority=IDLE if n % 10 == 3 else 5, **line)
        self.tally.put = len(self.ids)

    async def kill_once(self) -> None:
        await self._feed()
        before, began = len(self.ground.requests()), now()
        worker = self.ground.worker("--slots", str(IN_FLIGHT))
        await self.seer.until(lambda: self._answered_since(before, 1), what=f"the worker makes a call: {self.ground.said()}")
        self.tally.slowest_first_lease_s = max(self.tally.slowest_first_lease_s, now() - began)
        await self.seer.until(lambda: self._answered_since(before, 2 * IN_FLIGHT), what="the runs in flight get further")
        await asyncio.sleep(self.dice.uniform(0, 2 * self.call_s))
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        await self._look_at_what_is_open()
        self.tally.kills += 1

    async def all_ended(self) -> bool:
        """Whether all have ended, once somebody has said of each open charge what became of it."""
        self.tally.decided += await decide_the_waiting(self.seer.store, set(self.ground.traces("charges")))
        queue = next(one for one in await self.seer.store.messages.queues() if one.name == "orders")
        return sum(queue.counts.get(state.value, 0) for state in ENDS) == len(self.ids)

    async def _feed(self) -> None:
        ready = len(await self.seer.views(state=State.READY)) + len(await self.seer.views(state=State.LEASED))
        if ready < 3 * IN_FLIGHT:
            await self.put(2 * IN_FLIGHT)

    async def _answered_since(self, before: int, more: int) -> bool:
        return len(self.ground.requests()) >= before + more

    async def _look_at_what_is_open(self) -> None:
        seen = await self.watch.look(self.seer.store)
        leased = await self.seer.views(state=State.LEASED)
        self.tally.in_flight_at_kills += len(leased)
        self.tally.kills_at_rest += not leased
        for view in leased:
            for step in seen.get(view.message.id, ()):
                if step.state is StepState.INTENT:
                    self.tally.open_llm_intents += step.key.kind is StepKind.LLM
                    self.tally.open_tool_intents += step.key.kind is StepKind.TOOL


async def crash(ground: Any, seer: Any, *, kills: int, call_s: float, capsys: pytest.CaptureFixture[str]) -> Tally:
    began, killer = now(), Killer(ground, seer, random.Random(drawn := seed()), call_s=call_s)
    await killer.put(4 * IN_FLIGHT)
    for _ in range(kills):
        await killer.kill_once()
    killer.tally.seconds_of_kills = round(now() - began, 1)
    last = ground.worker("--slots", str(IN_FLIGHT))
    await seer.until(killer.all_ended, what=f"every message ends: {ground.said()}", within_s=300)
    end_in_order(last)

    charges = Counter(ground.traces("charges"))
    runs = {one: charges[str(n)] for n, one in enumerate(killer.ids)}
    books = await check_everything(ground.settings, killer.watch, put=killer.ids, tool_runs=runs, leasers=LEASERS)
    count(killer.tally, books, charges)
    await poison_is_deserved(seer, books)
    killer.tally.seconds = round(now() - began, 1)
    with capsys.disabled():
        print(f"\ncrash test, seed {drawn}: {json.dumps(msgspec.to_builtins(killer.tally))}")
    return killer.tally


def end_in_order(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    assert worker.wait(60) == 0


def count(tally: Tally, books: Books, charges: Counter[str]) -> None:
    views = books.views.values()
    states = Counter(view.state for view in views)
    tally.done, tally.dead = states[State.DONE], states[State.DEAD]
    tally.poison = sum(view.error is not None and view.error.code == "poison" for view in views)
    tally.quarantined = sum(view.crashes >= 2 for view in views)
    tally.attempts_used_beyond_one = sum(view.attempt > 1 for view in views)
    tally.requests, tally.extra_requests = sum(books.asked.values()), sum(books.asked.values()) - len(books.asked)
    tally.possibly_paid_twice, tally.tool_runs = books.paid_twice, charges.total()
    tally.recorded_calls_seen = len(books.recorded)
    for view in views:
        if view.state is State.DONE:
            n, result = json.loads(view.message.body)["n"], json.loads(view.result or b"null")
            assert (result["n"], result["charged"], result["last"]) == (n, f"charged {n}", f"answer to: [tag:{n}-thank]")


async def poison_is_deserved(seer: Any, books: Books) -> None:
    """On a machine that is too busy three kills may fall on one run before it gets anywhere; no fewer make it poison."""
    for one, view in books.views.items():
        if view.state is State.DEAD:
            assert view.error is not None
            assert view.error.code == "poison"
            assert sum(attempt.kind == "crash" for attempt in await seer.store.messages.attempts(one)) >= POISON_AT


def hold(tally: Tally) -> None:
    """What proof 2 says beyond what all crash tests check."""
    assert tally.done + tally.poison == tally.put
    assert tally.tool_runs >= tally.done
    assert tally.extra_requests <= tally.possibly_paid_twice <= tally.open_llm_intents
    assert tally.decided <= tally.open_tool_intents
    assert tally.attempts_used_beyond_one == 0, "a crash uses no attempt"
    assert tally.kills_at_rest * 10 <= tally.kills, "nearly every kill hit a worker at work"
    assert tally.open_llm_intents > 0, "some kill fell into a call, else nothing was tried"
    assert tally.recorded_calls_seen > tally.kills, "there was something that must not be made again"


@BOTH
@pytest.mark.timeout(900)
async def test_thirty_kills_lose_nothing_and_pay_nothing_twice(
    ground: Any, seer: Any, upstream_delay_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(await crash(ground, seer, kills=30, call_s=upstream_delay_s, capsys=capsys))


@BOTH
@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
async def test_a_thousand_kills(ground: Any, seer: Any, upstream_delay_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    hold(await crash(ground, seer, kills=int(os.environ.get("CRASH_KILLS", "1000")), call_s=upstream_delay_s, capsys=capsys))
