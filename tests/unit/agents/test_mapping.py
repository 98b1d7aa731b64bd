"""The same for many items at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepState
from perdure.agents.run import Run
from perdure.errors.base import ServerFailed

HOUR_S = 3600.0


async def test_results_come_in_the_order_of_the_items(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> list[str]:
        async def one(n: int) -> str:
            await asyncio.sleep(0.01 * (3 - n))
            return await run.ask("same", str(n))

        return await run.map("each", one, range(4))

    assert await world.result(mapping) == [f"answer to: {n}" for n in range(4)]
    assert {step.key.scope for step in await world.steps()} == {f"each[{n}]" for n in range(4)}


async def test_equal_items_do_not_take_each_others_answers(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> list[str]:
        with run.scope("outer"):
            return await run.map("each", lambda _: run.ask("same", "x"), range(3))

    await world.attempt(mapping)
    assert sorted(step.key.scope for step in await world.steps()) == [f"outer/each[{n}]" for n in range(3)]
    assert world.count("step.twin") == 0


async def test_no_more_than_the_limit_work_at_once(world: Any) -> None:
    now, most = 0, 0

    @agent
    async def mapping(run: Run) -> None:
        async def one(n: int) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.002)
            now -= 1

        await run.map("each", one, range(9), limit=3)

    await world.attempt(mapping)
    assert most == 3


async def test_a_function_that_is_not_async_will_do(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> list[int]:
        return await run.map("each", lambda n: n * 2, [1, 2])

    assert await world.result(mapping) == [2, 4]


async def test_nothing_maps_to_nothing(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> list[int]:
        return await run.map("each", lambda n: n, [])

    assert await world.result(mapping) == []


async def test_a_limit_of_none_is_refused(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> list[int]:
        return await run.map("each", lambda n: n, [1], limit=0)

    assert (await world.failed(mapping)).error.code == "invalid-input"


async def test_after_the_first_failure_calls_under_way_are_recorded_and_none_begins(world: Any) -> None:
    slow = asyncio.Event()

    def reply(body: Any) -> Any:
        return ServerFailed("oops") if body["messages"][0]["content"] == "1" else "fine"

    world.provider = type(world.provider)(replies=reply)
    started: list[int] = []

    @agent
    async def mapping(run: Run) -> list[str]:
        async def wait() -> str:
            await slow.wait()
            return "slow"

        async def one(n: int) -> str:
            started.append(n)
            if n == 0:
                await run.step("slow", wait)
                return await run.ask("never", "0")
            if n == 1:
                asyncio.get_running_loop().call_later(0.02, slow.set)
            return await run.ask("ask", str(n))

        return await run.map("each", one, range(5), limit=2)

    ending = await world.failed(mapping)
    assert ending.error.message == "oops"
    found = {(step.key.scope, step.key.name): step.state for step in await world.steps()}
    assert found[("each[0]", "slow")] is StepState.DONE
    assert ("each[0]", "never") not in found
    assert 4 not in started


async def test_all_items_that_failed_together_are_tried_again_together(world: Any) -> None:
    broken = True

    def reply(body: Any) -> Any:
        return ServerFailed("oops") if broken else "fine"

    world.provider = type(world.provider)(replies=reply)
    world.provider.delay_s = 0.01

    @agent
    async def mapping(run: Run) -> list[str]:
        return await run.map("each", lambda n: run.ask("ask", str(n)), range(6))

    ending = await world.failed(mapping)
    broken = False
    await world.retry(ending)
    assert await world.result(mapping) == ["fine"] * 6


async def test_a_waiting_branch_does_not_keep_a_failure_back(world: Any) -> None:
    @agent
    async def mapping(run: Run) -> None:
        async def one(n: int) -> None:
            if n:
                raise ValueError(await run.ask("ask", "x"))
            await run.sleep(HOUR_S)

        with run.scope("o"):
            await run.map("each", one, range(2))

    assert (await world.failed(mapping)).error.type_name == "builtins:ValueError"


async def test_a_map_inside_a_map_is_stopped_with_it_and_its_calls_are_recorded(world: Any) -> None:
    both_asked = asyncio.Event()

    def reply(body: Any) -> str:
        if world.provider.count == 2:
            both_asked.set()
        return "fine"

    world.provider = type(world.provider)(replies=reply, delay_s=0.02)

    @agent
    async def mapping(run: Run) -> None:
        async def inner(n: int) -> None:
            for turn in range(50):
                await run.ask("ask", f"{n} {turn}")

        async def outer(n: int) -> None:
            if n == 0:
                await run.map("inner", inner, range(2))
            await both_asked.wait()
            raise ValueError("stop")

        await run.map("outer", outer, range(2))

    assert (await world.failed(mapping)).error.message == "stop"
    assert world.provider.count == 2
    assert [step.state for step in await world.steps()] == [StepState.DONE] * 2


@pytest.mark.parametrize("items", [3])
async def test_a_parked_map_goes_on_where_it_was(world: Any, items: int) -> None:
    @agent
    async def mapping(run: Run) -> list[str]:
        async def one(n: int) -> str:
            said = await run.ask("before", str(n))
            await run.sleep(HOUR_S)
            return said

        return await run.map("each", one, range(items))

    await world.wake(await world.parked(mapping))
    assert await world.result(mapping) == [f"answer to: {n}" for n in range(items)]
    assert world.provider.count == items
