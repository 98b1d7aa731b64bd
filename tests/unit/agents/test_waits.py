"""When a run holds its slot, and when it waits without a worker."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import Decision, StepState
from perdure.agents.run import Run
from perdure.agents.sync import SyncRun
from perdure.errors.base import AuthenticationFailed, CallTooDear, CircuitOpen, ErrorFacts, InvalidInput, RateLimited, ServerFailed
from perdure.tools.tool import tool

HOUR_S = 3600.0


async def test_a_long_sleep_parks_the_message_until_its_end(world: Any) -> None:
    @agent
    async def sleepy(run: Run) -> str:
        await run.ask("before", "x")
        await run.sleep(HOUR_S)
        return await run.ask("after", "y")

    began = world.clock.now()
    ending = await world.parked(sleepy)
    assert (ending.wait.why, ending.wait.until, ending.wait.step, ending.wait.open_ended) == ("sleep", began + HOUR_S, 2, False)
    await world.wake(ending)
    assert await world.result(sleepy) == "answer to: y"
    assert world.provider.count == 2


async def test_a_short_sleep_holds_the_slot(world: Any) -> None:
    @agent
    async def napping(run: Run) -> str:
        await run.sleep(5)
        return "awake"

    began = world.clock.now()
    assert await world.result(napping) == "awake"
    assert world.clock.now() == began + 5
    assert (await world.steps())[0].state is StepState.DONE


async def test_a_sleep_that_was_begun_ends_when_it_was_to_end_whatever_happens_meanwhile(world: Any) -> None:
    @agent
    async def sleepy(run: Run) -> str:
        await run.sleep(HOUR_S)
        return "awake"

    began = world.clock.now()
    await world.parked(sleepy)
    await world.crash()
    ending = await world.parked(sleepy)
    assert ending.wait.until == began + HOUR_S
    assert (await world.steps())[0].tries == 1
    await world.wake(ending)
    assert await world.result(sleepy) == "awake"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
async def test_only_a_length_of_time_can_be_slept(world: Any, seconds: float) -> None:
    @agent
    async def sleepy(run: Run) -> None:
        await run.sleep(seconds)

    assert (await world.failed(sleepy)).error.code == InvalidInput.code


async def test_calls_under_way_end_and_are_recorded_before_the_run_is_parked(world: Any) -> None:
    world.provider.delay_s = 0.05

    @agent
    async def both(run: Run) -> list[Any]:
        return await asyncio.gather(run.sleep(HOUR_S), run.ask("one", "x"))

    await world.parked(both)
    assert [step.state for step in await world.steps()] == [StepState.INTENT, StepState.DONE]


async def test_a_branch_that_is_about_to_call_is_waited_for(world: Any) -> None:
    @agent
    async def both(run: Run) -> None:
        async def talks() -> None:
            for n in range(5):
                await run.ask("one", str(n))
                for _ in range(3):
                    await asyncio.sleep(0)

        await asyncio.gather(run.sleep(HOUR_S), talks())

    await world.parked(both)
    assert world.provider.count == 5


async def test_what_is_no_call_of_the_run_is_cancelled_and_a_return_is_ignored(world: Any) -> None:
    ended: list[str] = []

    @agent
    async def mixed(run: Run) -> str:
        async def outside() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cancelled")

        try:
            await asyncio.gather(run.sleep(HOUR_S), outside())
        except asyncio.CancelledError:
            return "never mind"
        return ""

    assert (await world.parked(mixed)).wait.why == "sleep"
    assert ended == ["cancelled"]


async def test_a_parking_run_begins_nothing_in_its_last_words(world: Any) -> None:
    @agent
    async def tidy(run: Run) -> None:
        try:
            await run.sleep(HOUR_S)
        finally:
            await run.ask("cleanup", "x")

    await world.parked(tidy)
    assert world.provider.count == 0


async def test_of_several_waits_the_earliest_moment_counts(world: Any) -> None:
    @agent
    async def several(run: Run) -> None:
        await asyncio.gather(run.sleep(3 * HOUR_S), run.sleep(HOUR_S), run.sleep(2 * HOUR_S))

    began = world.clock.now()
    waits = []
    for _ in range(3):
        ending = await world.parked(several)
        waits.append((ending.wait.until or 0) - began)
        await world.wake(ending)
    assert waits == [HOUR_S, 2 * HOUR_S, 3 * HOUR_S]
    assert await world.result(several) is None


async def test_a_short_wait_among_long_ones_holds_the_slot_until_it_ends(world: Any) -> None:
    @agent
    async def several(run: Run) -> None:
        async def short() -> None:
            await run.sleep(3)
            await run.ask("one", "x")

        await asyncio.gather(run.sleep(HOUR_S), short())

    await world.parked(several)
    assert world.provider.count == 1


async def test_a_question_to_a_person_goes_before_any_moment(world: Any) -> None:
    @tool
    async def late() -> None:
        raise TimeoutError("late")

    @agent
    async def several(run: Run) -> str:
        await asyncio.gather(run.sleep(HOUR_S), run.call(late))
        return "both"

    ending = await world.parked(several)
    assert (ending.wait.why, ending.wait.until, ending.wait.step) == ("outcome-unknown", None, 2)
    await world.decide(ending, Decision.HAPPENED)
    ending = await world.parked(several)
    assert ending.wait.why == "sleep"
    await world.wake(ending)
    assert await world.result(several) == "both"


async def test_a_cancelled_question_to_a_person_is_still_a_question(world: Any) -> None:
    begun = asyncio.Event()

    @tool
    async def late() -> None:
        begun.set()
        raise TimeoutError("late")

    @agent
    async def hasty(run: Run) -> str:
        task = asyncio.create_task(run.call(late))
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return "went on"

    assert (await world.parked(hasty)).wait.why == "outcome-unknown"


# Limits -------------------------------------------------------------------------------------------


async def test_a_long_limit_parks_the_message_and_uses_no_attempt(world: Any) -> None:
    until = world.clock.now() + HOUR_S
    world.provider = type(world.provider)(replies=[RateLimited("slow down", retry_at=until), "fine"])

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.parked(asking)
    assert (ending.wait.why, ending.wait.step, ending.wait.open_ended) == ("rate-limit", 1, False)
    assert until <= (ending.wait.until or 0) <= until + 2
    assert ending.wait.error is not None
    assert ending.wait.error.code == "provider-rate-limited"
    assert (await world.steps())[0].state is StepState.AGAIN
    await world.wake(ending)
    assert await world.result(asking) == "fine"
    [step] = await world.steps()
    assert (step.tries, step.ambiguous) == (2, 0)


async def test_a_short_limit_is_waited_for_in_the_slot(world: Any) -> None:
    error = RateLimited("slow down", retry_at=world.clock.now() + 2)
    world.provider = type(world.provider)(replies=[error, error, "fine"])

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    assert await world.result(asking) == "fine"
    assert world.provider.count == 3
    assert world.count("step.deferred") == 2


async def test_an_account_that_needs_a_person_waits_without_a_stated_end(world: Any) -> None:
    world.provider = type(world.provider)(replies=[AuthenticationFailed("bad key")])

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.parked(asking)
    assert (ending.wait.why, ending.wait.open_ended) == ("account", True)


async def test_the_agent_never_sees_a_limit(world: Any) -> None:
    world.provider = type(world.provider)(replies=[CircuitOpen("open", retry_at=world.clock.now() + HOUR_S)])

    @agent
    async def asking(run: Run) -> str:
        try:
            return await run.ask("one", "x")
        except Exception:
            return "caught"

    assert (await world.parked(asking)).wait.why == "circuit-open"


class Lanes:
    """Remembers who asked, and what came of it: an error, `answered`, or `left`."""

    def __init__(self, closed: ErrorFacts | None = None, starts_at: float | None = None) -> None:
        self.now_closed, self.starts_at = closed, starts_at
        self.asks: list[Any] = []
        self.asked: list[str] = []
        self.told: list[tuple[str, Any]] = []

    async def enter(self, lane: str, ask: Any = None) -> Any:
        self.asked.append(lane)
        self.asks.append(ask)
        return self.now_closed or Passage(lane, self.told, self.starts_at)


class Passage:
    def __init__(self, lane: str, told: list[tuple[str, Any]], starts_at: float | None = None) -> None:
        self.lane, self.told, self.starts_at = lane, told, starts_at
        self.overtaken = False
        self.usage: Any = None
        self.is_sent = False

    def sent(self) -> None:
        self.is_sent = True

    def answered(self, usage: Any = None, usd: float | None = None, headroom: Any = None) -> None:
        assert self.is_sent
        self.usage = usage
        self.told.append((self.lane, "answered"))

    async def met(self, error: ErrorFacts) -> None:
        self.told.append((self.lane, error))

    def left(self) -> None:
        self.told.append((self.lane, "left"))


async def test_a_limit_is_told_so_that_others_of_the_lane_do_not_start(world: Any) -> None:
    lanes = world.more["lanes"] = Lanes()
    world.provider = type(world.provider)(replies=[RateLimited("slow down", retry_at=world.clock.now() + HOUR_S)])

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.parked(asking)
    [(lane, error), (_, end)] = lanes.told
    assert end == "left"
    assert (lane, error.code, error.retry_at) == ("fake/fake-1", "provider-rate-limited", ending.wait.until)


async def test_a_lane_closed_in_mid_run_parks_the_run_before_the_call(world: Any) -> None:
    closed = RateLimited("slow down", retry_at=world.clock.now() + HOUR_S).facts()
    lanes = world.more["lanes"] = Lanes(closed)

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    ending = await world.parked(asking)
    assert (ending.wait.why, ending.wait.step, world.provider.count, lanes.asked) == ("rate-limit", None, 0, ["fake/fake-1"])
    assert await world.steps() == []
    await world.wake(ending)
    lanes.now_closed = None
    assert await world.result(asking) == "answer to: x"


@pytest.mark.parametrize("handles", [True, False])
async def test_what_came_of_each_call_is_told_to_its_lane(world: Any, *, handles: bool) -> None:
    lanes = world.more["lanes"] = Lanes()
    world.provider = type(world.provider)(replies=[ServerFailed("502"), "hello"], handles=handles)

    @agent
    async def asking(run: Run) -> str:
        with contextlib.suppress(ServerFailed):
            await run.ask("one", "x")
        return await run.ask("two", "x")

    assert await world.result(asking) == "hello"
    assert [getattr(what, "code", what) for _, what in lanes.told] == ["provider-server", "left", "answered", "left"]


async def test_a_call_that_is_cut_off_leaves_its_lane(world: Any) -> None:
    lanes = world.more["lanes"] = Lanes()
    world.provider.delay_s = 60.0

    @agent(timeout_s=0.05)
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    assert (await world.failed(asking)).error.code == "run-timeout"
    assert lanes.told == [("fake/fake-1", "left")]


async def test_a_call_waits_for_its_start_in_its_slot(world: Any) -> None:
    began = world.clock.now()
    lanes = world.more["lanes"] = Lanes(starts_at=began + 3)

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x" * 400)

    assert await world.result(asking) == "answer to: " + "x" * 400
    assert world.clock.now() == began + 3
    assert lanes.asks[0].prompt_tokens >= 100


async def test_a_call_that_is_cut_off_before_its_start_leaves_and_was_never_meant(world: Any) -> None:
    lanes = world.more["lanes"] = Lanes(starts_at=world.clock.now() + 1e6)
    world.more["park_after_s"] = 1e9

    @agent(timeout_s=0.05)
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    assert (await world.failed(asking)).error.code == "run-timeout"
    assert lanes.told == [("fake/fake-1", "left")]
    assert await world.steps() == []


async def test_what_no_waiting_mends_ends_the_attempt(world: Any) -> None:
    world.more["lanes"] = Lanes(CallTooDear("it could cost 9 USD").facts())

    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "x")

    failed = await world.failed(asking)
    assert (failed.error.code, failed.error.retryable) == ("call-too-dear", False)
    assert world.provider.calls == []


# Sync agents --------------------------------------------------------------------------------------


async def test_a_sync_agent_parks_inside_its_call_and_its_thread_ends(world: Any) -> None:
    seen: list[str] = []

    @agent
    def sleepy(run: SyncRun) -> str:
        try:
            run.sleep(HOUR_S)
        except Exception:
            seen.append("caught")
        finally:
            seen.append("unwound")
        return "awake"

    ending = await world.parked(sleepy)
    assert (ending.wait.why, ending.hung, seen) == ("sleep", False, ["unwound"])
    await world.wake(ending)
    assert await world.result(sleepy) == "awake"


async def test_a_sync_agent_that_swallows_its_end_and_goes_on_is_hung(world: Any) -> None:
    let_go = threading.Event()

    @agent
    def stubborn(run: SyncRun) -> str:
        try:
            run.sleep(HOUR_S)
        except BaseException:
            let_go.wait(20)
        return "never mind"

    assert (await world.parked(stubborn)).hung
    let_go.set()


async def test_a_sync_agent_that_swallows_its_end_gets_no_further_call(world: Any) -> None:
    @agent
    def stubborn(run: SyncRun) -> str:
        try:
            run.sleep(HOUR_S)
        except BaseException:
            return run.ask("one", "x")
        return ""

    assert not (await world.parked(stubborn)).hung
    assert world.provider.count == 0


async def test_a_sync_map_parks_when_all_its_threads_wait(world: Any) -> None:
    @agent
    def mapping(run: SyncRun) -> list[str]:
        def one(n: int) -> str:
            run.sleep(HOUR_S * n)
            return run.ask("one", str(n))

        return run.map("each", one, [1, 2])

    for _ in range(2):
        await world.wake(await world.parked(mapping))
    assert await world.result(mapping) == ["answer to: 1", "answer to: 2"]
