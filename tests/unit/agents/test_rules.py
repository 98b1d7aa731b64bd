"""What the journal promises across crashes, parks and attempts, rule by rule (SEMANTICS 11-16)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepState
from perdure.agents.run import Run
from perdure.errors.base import ToolFailed
from perdure.testing.cutting import CuttingJournal
from perdure.tools.tool import tool


class Broke(Exception):
    pass


async def test_after_a_park_the_same_error_is_raised_again(world: Any, ran: list[Any]) -> None:
    @tool
    def fragile() -> None:
        ran.append(1)
        raise Broke("no")

    @agent
    async def patient(run: Run) -> list[str]:
        seen = []
        for _ in range(2):
            try:
                await run.call(fragile)
            except Broke as error:
                seen.append(str(error))
        await run.sleep(3600)
        return seen

    await world.wake(await world.parked(patient))

    assert await world.result(patient) == ["no", "no"]
    assert ran == [1, 1], "two calls, each made once"


async def test_an_error_that_was_caught_is_raised_again_in_a_new_attempt_and_only_the_blamed_call_is_made(
    world: Any, ran: list[Any]
) -> None:
    @tool
    def caught() -> None:
        ran.append("caught")
        raise Broke("first")

    @tool
    def blamed() -> str:
        ran.append("blamed")
        if ran.count("blamed") == 1:
            raise Broke("second")
        return "ok"

    @agent
    async def two(run: Run) -> str:
        with suppress(Broke):
            await run.call(caught)
        return str(await run.call(blamed))

    await world.retry(await world.failed(two))

    assert await world.result(two) == "ok"
    assert ran == ["caught", "blamed", "blamed"]


async def test_arguments_made_of_journaled_values_do_not_diverge(world: Any) -> None:
    @agent
    async def dated(run: Run) -> str:
        today, key, dice = await run.now(), await run.uuid(), await run.random()
        return await run.ask("think", f"{today} {key} {dice}")

    first = await world.result(dated)
    await world.crash()
    world.clock.pass_by(seconds=86_400)

    assert await world.result(dated) == first
    assert world.provider.count == 1
    assert world.count("step.diverged") == 0


async def test_a_divergence_is_recorded_shown_and_told(world: Any) -> None:
    said = ["one"]

    @agent
    async def fickle(run: Run) -> str:
        answer = await run.ask("think", said[0])
        await run.sleep(3600)
        return answer

    await world.wake(await world.parked(fickle))
    said[0] = "two"

    assert await world.result(fickle) == "answer to: two"
    assert [(step.key.kind, step.diverged) for step in await world.steps()][-1] == ("llm", True)
    assert (await world.store.messages.counters())["divergences"] == 1
    assert world.count("step.diverged") == 1


async def test_equal_calls_at_once_are_warned_of_once_a_run(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    @agent
    async def twins(run: Run) -> None:
        await asyncio.gather(*(run.ask("same", "x") for _ in range(4)))
        await asyncio.gather(*(run.now() for _ in range(2)))

    with caplog.at_level(logging.WARNING, "perdure.agents"):
        await world.attempt(twins)

    [record] = caplog.records
    assert "equal calls 'same' at once" in record.getMessage()
    assert "run.scope" in record.getMessage()


async def test_the_code_that_made_a_call_is_kept_with_it(world: Any) -> None:
    @tool(idempotent=True)
    def look() -> int:
        return 1

    @agent(version="v7")
    async def versioned(run: Run) -> None:
        await run.ask("think", "x")
        await run.step("mine", lambda: 1)
        await run.call(look)
        await run.now()

    await world.attempt(versioned)

    assert [step.tool_version for step in await world.steps()] == ["v7", "v7", look.version, None]


async def test_a_new_code_version_goes_on_with_an_old_run(world: Any) -> None:
    async def work(run: Run) -> str:
        answer = await run.ask("think", "x")
        await run.sleep(3600)
        return answer

    old, new = agent(name="work", version="v1")(work), agent(name="work", version="v2")(work)

    await world.wake(await world.parked(old))

    assert await world.result(new) == "answer to: x"
    assert world.provider.count == 1


async def test_a_crash_between_intent_and_call_of_an_llm_is_one_more_call_at_most(world: Any) -> None:
    @agent
    async def asker(run: Run) -> str:
        return await run.ask("think", "x")

    for crash in range(1, 4):
        cut = CuttingJournal(world.store.journal, world.crash, after=None, during=1)
        world.wrap_journal = lambda _, cut=cut: cut
        with pytest.raises(Exception, match="taken away"):
            await world.attempt(asker)
        [step] = await world.steps()
        assert (step.state, step.tries, step.ambiguous) == (StepState.INTENT, crash, crash - 1), "counted once a crash, never more"
        await world.store.workers.reap()
        if crash == 2:
            break  # a third crash without a result would be poison
    world.wrap_journal = lambda journal: journal
    assert world.provider.count == 0


async def test_a_replayed_failure_of_a_tool_is_a_tools_failure(world: Any) -> None:
    def local_error() -> None:
        class Unseen(Exception):
            pass

        raise Unseen("gone")

    @agent
    async def careless(run: Run) -> str:
        try:
            await run.step("mine", local_error)
        except ToolFailed as error:
            return error.message
        return "none"

    assert "gone" in await world.result(careless)
    await world.crash()
    assert "gone" in await world.result(careless)
