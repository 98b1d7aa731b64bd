"""The loop of model, tools, model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from perdure import Run, SyncRun, agent, tool
from perdure.agents.journal import Decision, StepKind, StepState
from perdure.testing import FakeProvider, run_agent

SAID = [{"role": "user", "content": "go"}]


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"tool_calls": [{"id": f"c{n}", "name": name, "arguments": arguments} for n, (name, arguments) in enumerate(wanted)]}


def told(provider: FakeProvider) -> list[str]:
    return [one["content"] for one in provider.calls[-1]["messages"] if one["role"] == "tool"]


@tool(idempotent=True)
def add(a: int, b: int) -> int:
    """Add."""
    if b == 13:
        raise ValueError("13 brings bad luck")
    return a + b


@agent
async def adds(run: Run) -> Any:
    result = await run.loop("work", SAID, tools=[add])
    return [result.text, [(one.name, one.result, one.error) for one in result.tool_calls]]


async def test_calls_of_one_answer_are_made_side_by_side_each_in_a_scope_of_its_own(world: Any) -> None:
    gate = asyncio.Barrier(2)

    @tool
    async def meets(n: int) -> int:
        """Waits for the other."""
        await asyncio.wait_for(gate.wait(), 5)
        return n

    @agent
    async def both(run: Run) -> list[Any]:
        result = await run.loop("work", SAID, tools=[meets])
        return [one.result for one in result.tool_calls]

    world.provider = FakeProvider(replies=[calls(("meets", {"n": 1}), ("meets", {"n": 2})), "done"])
    assert await world.result(both) == [1, 2]
    assert [step.key.scope for step in await world.steps() if step.key.kind is StepKind.TOOL] == ["work.1[0]", "work.1[1]"]
    assert told(world.provider) == ["1", "2"]


async def test_a_tool_that_fails_is_told_to_the_model_which_goes_on(world: Any) -> None:
    world.provider = FakeProvider(replies=[calls(("add", {"a": 1, "b": 13}), ("add", {"a": 1, "b": 2})), "3 it is"])
    assert await world.result(adds) == ["3 it is", [["add", None, "error: ValueError: 13 brings bad luck"], ["add", 3, None]]]
    assert told(world.provider) == ["error: ValueError: 13 brings bad luck", "3"]
    tools = [step for step in await world.steps() if step.key.kind is StepKind.TOOL]
    assert sorted(step.state for step in tools) == [StepState.DONE, StepState.FAILED]


async def test_what_chat_does_with_a_failing_tool_stays_as_it_was(world: Any) -> None:
    @agent
    async def chats(run: Run) -> Any:
        return (await run.chat("work", SAID, tools=[add])).text

    world.provider = FakeProvider(replies=[calls(("add", {"a": 1, "b": 13})), "never"])
    assert (await world.failed(chats)).error.message == "13 brings bad luck"


async def test_a_tool_whose_outcome_nobody_knows_waits_for_a_person_and_not_for_the_model(world: Any) -> None:
    ran = []

    @tool
    async def pay(amount: int) -> str:
        """Pay."""
        ran.append(amount)
        if len(ran) == 1:
            await world.crash()
        return "paid"

    @agent
    async def pays(run: Run) -> Any:
        return (await run.loop("work", SAID, tools=[pay])).text

    world.provider = FakeProvider(replies=[calls(("pay", {"amount": 5})), "all paid"])
    with pytest.raises(Exception, match="no longer"):
        await world.attempt(pays)
    ending = await world.parked(pays)
    assert (ending.wait.why, ran, world.provider.count) == ("outcome-unknown", [5], 1)
    await world.decide(ending, Decision.HAPPENED, "paid")
    assert await world.result(pays) == "all paid"
    assert (ran, told(world.provider)) == ([5], ["paid"])


async def test_the_loop_ends_at_its_bounds(world: Any) -> None:
    @agent(max_steps=3)
    async def few(run: Run) -> Any:
        return (await run.loop("work", SAID, tools=[add])).text

    @agent
    async def turns(run: Run) -> Any:
        return (await run.loop("work", SAID, tools=[add], max_turns=2)).text

    world.provider = FakeProvider(replies=[calls(("add", {"a": 1, "b": 2}))])
    assert (await world.failed(few)).error.code == "limit-steps"
    world.id = 0
    assert (await world.failed(turns)).error.code == "limit-turns"


async def test_a_limit_that_a_tool_meets_is_no_error_for_the_model(world: Any) -> None:
    @agent(max_steps=1)
    async def one(run: Run) -> Any:
        return (await run.loop("work", SAID, tools=[add])).text

    world.provider = FakeProvider(replies=[calls(("add", {"a": 1, "b": 2})), "never"])
    assert (await world.failed(one)).error.code == "limit-steps"
    assert world.provider.count == 1


def follows(body: Mapping[str, Any]) -> Any:
    """Answers by what has been said, as a model does: so it is the same after a crash."""
    turn = sum(1 for one in body["messages"] if one["role"] == "assistant")
    if turn == 0:
        return calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 13}), ("nothing", {}))
    return calls(("add", {"a": 3, "b": 4})) if turn == 1 else json.dumps({"sum": 7})


async def test_killed_between_any_two_calls_it_ends_the_same_and_pays_for_nothing_twice() -> None:
    @agent
    async def works(run: Run) -> Any:
        return (await run.loop("work", SAID, tools=[add], output={"type": "object", "required": ["sum"]})).output

    outcome = await run_agent(works, None, provider=FakeProvider(replies=follows), crash_after="every")
    assert (outcome.result, outcome.calls, outcome.possibly_paid_twice) == ({"sum": 7}, 3, 0)


def test_a_sync_agent_has_the_same_loop() -> None:
    @agent
    def works(run: SyncRun) -> Any:
        return run.loop("work", SAID, tools=[add]).text

    replies = [calls(("add", {"a": 1, "b": 13})), "well"]
    assert asyncio.run(run_agent(works, None, provider=FakeProvider(replies=replies))).result == "well"
