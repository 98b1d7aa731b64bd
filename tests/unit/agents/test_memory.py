"""What an agent keeps between runs."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepKind
from perdure.agents.run import Run


@agent
async def counting(run: Run) -> int:
    seen = (await run.memory.retrieve("seen")) or 0
    await run.memory.store("seen", seen + 1)
    return int(seen)


async def test_what_one_run_stores_the_next_retrieves(world: Any) -> None:
    assert await world.result(counting) == 0
    await world.store.messages.done(world.lease, b"0")
    world.id = 0
    assert await world.result(counting) == 1
    assert await world.store.memory.read("default", "counting", "seen") == b"2"


async def test_a_read_is_recorded_so_that_a_replay_sees_the_same(world: Any) -> None:
    await world.attempt(counting)
    await world.store.memory.write("default", "counting", "seen", b"99")
    await world.crash()
    assert await world.result(counting) == 0
    assert await world.store.memory.read("default", "counting", "seen") == b"99", "a recorded write is not made again"
    assert [step.key.kind for step in await world.steps()] == [StepKind.MEMORY] * 2


async def test_agents_that_name_the_same_memory_share_it(world: Any) -> None:
    @agent(memory="counting")
    async def other(run: Run) -> list[Any]:
        stats = await run.memory.get_stats()
        found = await run.memory.retrieve("seen")
        await run.memory.clear("seen")
        gone = await run.memory.retrieve("seen")
        await run.memory.store("x", [1])
        await run.memory.clear()
        return [stats["entries"], found, gone, (await run.memory.get_stats())["entries"]]

    await world.store.memory.write("default", "counting", "seen", b"5")
    assert await world.result(other) == [1, 5, None, 0]


@pytest.mark.parametrize("key", ["", 5])
async def test_a_thing_in_memory_has_a_name(world: Any, key: Any) -> None:
    @agent
    async def wrong(run: Run) -> None:
        await run.memory.store(key, 1)

    assert (await world.failed(wrong)).error.code == "invalid-input"


async def test_what_json_cannot_say_cannot_be_kept(world: Any) -> None:
    @agent
    async def wrong(run: Run) -> None:
        await run.memory.store("k", {"deep": [b"bytes"]})

    ending = await world.failed(wrong)
    assert "memory 'k'.deep[0] is a bytes" in ending.error.message
