"""Talking to a model: prompts, tools, answers of a given shape."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from perdure.agents.agent import agent
from perdure.agents.conversation import ChatResult
from perdure.agents.journal import StepKind, StepState
from perdure.agents.run import Run
from perdure.testing import FakeProvider
from perdure.tools.tool import tool


@dataclass
class Verdict:
    team: str
    urgent: bool


class Model(pydantic.BaseModel):
    team: str = pydantic.Field(min_length=3)


class Typed(TypedDict):
    team: str


class Struct(msgspec.Struct):
    team: str


def calls(*asked: tuple[str, dict[str, Any] | str]) -> dict[str, Any]:
    return {
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for n, (name, given) in enumerate(asked)
        ],
    }


async def test_a_question_is_sent_with_its_system_prompt_and_parameters(world: Any) -> None:
    @agent(model="fake/other")
    async def asking(run: Run) -> list[str]:
        return [
            await run.ask("one", "Hello", system="Be brief.", temperature=0.5, max_tokens=None),
            await run.ask("two", "Hello", model="fake/third"),
        ]

    assert await world.result(asking) == ["answer to: Hello", "answer to: Hello"]
    first, second = world.provider.calls
    assert first == {
        "model": "other",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.5,
    }
    assert second["model"] == "third"


async def test_an_unknown_model_is_a_permanent_error_and_no_step(world: Any) -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "Hello", model="fka/other")

    ending = await world.failed(asking)
    assert (ending.error.code, ending.error.retryable, await world.steps()) == ("unknown-model", False, [])


async def test_a_recorded_answer_needs_no_model_any_more(world: Any) -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask("one", "Hello", model="fake/gone")

    await world.attempt(asking)
    await world.crash()
    world.more["models"] = None
    assert await world.result(asking) == "answer to: Hello"


@pytest.mark.parametrize("name", ["", "x" * 201, 7])
async def test_a_step_has_a_name(world: Any, name: Any) -> None:
    @agent
    async def asking(run: Run) -> str:
        return await run.ask(name, "Hello")

    assert (await world.failed(asking)).error.code == "invalid-input"


# Structured output --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "said", "wanted"),
    [
        (Verdict, '{"team": "billing", "urgent": true}', Verdict("billing", True)),
        (Verdict, '```json\n{"team": "billing", "urgent": true}\n```', Verdict("billing", True)),
        (Model, '{"team": "billing"}', Model(team="billing")),
        (Typed, '{"team": "billing"}', {"team": "billing"}),
        (Struct, '{"team": "billing"}', Struct("billing")),
        (bool, '{"value": true}', True),
        (list[Verdict], '{"value": [{"team": "a", "urgent": false}]}', [Verdict("a", False)]),
        ({"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]}, '{"team": "billing"}', {"team": "billing"}),
    ],
    ids=str,
)
async def test_an_answer_is_read_into_the_shape_asked_for(world: Any, shape: Any, said: str, wanted: Any) -> None:
    world.provider = FakeProvider(replies=[said])
    seen: list[Any] = []

    @agent
    async def asking(run: Run) -> None:
        seen.append(await run.ask("one", "Judge.", output=shape))

    await world.attempt(asking)
    assert seen == [wanted]
    told = world.provider.calls[0]["response_format"]
    assert told["type"] == "json_schema"
    assert told["json_schema"]["schema"]["type"] == "object"


async def test_strict_is_said_only_of_a_schema_that_names_all(world: Any) -> None:
    world.provider = FakeProvider(replies=['{"value": 1}', '{"team": "x", "urgent": true}'])

    @agent
    async def asking(run: Run) -> None:
        await run.ask("one", "x", output=int)
        await run.ask("two", "x", output=Verdict)

    await world.attempt(asking)
    assert [body["response_format"]["json_schema"].get("strict") for body in world.provider.calls] == [True, None]


async def test_a_wrong_answer_is_asked_for_again_with_what_was_wrong(world: Any) -> None:
    world.provider = FakeProvider(replies=["no idea", '{"team": 3}', '{"team": "billing", "urgent": false}'])

    @agent
    async def asking(run: Run) -> str:
        return (await run.ask("one", "Judge.", output=Verdict)).team

    assert await world.result(asking) == "billing"
    last = world.provider.calls[2]["messages"]
    assert [one["role"] for one in last] == ["user", "assistant", "user", "assistant", "user"]
    assert "no JSON" in last[2]["content"]
    assert "Expected `str`" in last[4]["content"]
    await world.crash()
    assert await world.result(asking) == "billing"
    assert world.provider.count == 3


async def test_an_answer_still_wrong_after_the_re_asks_is_a_failed_step_and_permanent(world: Any) -> None:
    world.provider = FakeProvider(replies=["no idea"])

    @agent
    async def asking(run: Run) -> Any:
        return await run.ask("one", "Judge.", output=Verdict)

    ending = await world.failed(asking)
    assert (ending.error.code, ending.error.retryable, ending.step) == ("provider-invalid-output", False, 3)
    assert [step.state for step in await world.steps()] == [StepState.DONE, StepState.DONE, StepState.FAILED]
    assert ending.usage.calls == 3


async def test_a_revived_message_makes_the_last_re_ask_again(world: Any) -> None:
    world.provider = FakeProvider(replies=["no", "no", "no", '{"team": "billing", "urgent": false}'])

    @agent
    async def asking(run: Run) -> str:
        return (await run.ask("one", "Judge.", output=Verdict)).team

    ending = await world.failed(asking)
    await world.store.messages.bury(world.lease, ending.error, step=ending.step)
    await world.store.messages.revive(world.id)
    assert await world.result(asking) == "billing"
    assert world.provider.count == 4


async def test_a_json_schema_that_is_none_is_refused(world: Any) -> None:
    @agent
    async def asking(run: Run) -> Any:
        return await run.ask("one", "Judge.", output={"type": "nonsense"})

    assert (await world.failed(asking)).error.retryable is False


# Tools --------------------------------------------------------------------------------------------


@tool
def look_up(number: str, deep: bool = False) -> dict[str, Any]:
    """Find a ticket.

    Args:
        number: Its number.
        deep: Whether to look everywhere.
    """
    return {"number": number, "deep": deep}


@tool
async def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


async def test_the_model_calls_tools_until_it_has_an_answer(world: Any) -> None:
    world.provider = FakeProvider(replies=[calls(("look_up", {"number": "7"}), ("shout", {"text": "hey"})), "all done"])
    results: list[ChatResult] = []

    @agent
    async def talking(run: Run) -> str:
        results.append(await run.chat("talk", [{"role": "user", "content": "Help"}], tools=[look_up, shout]))
        return results[-1].text

    assert await world.result(talking) == "all done"
    told = world.provider.calls[1]["messages"]
    assert [one["role"] for one in told] == ["user", "assistant", "tool", "tool"]
    assert [one["content"] for one in told[2:]] == ['{"deep":false,"number":"7"}', "HEY"]
    assert [one["tool_call_id"] for one in told[2:]] == [one["id"] for one in told[1]["tool_calls"]]
    assert [step.key.kind for step in await world.steps()] == [StepKind.LLM, StepKind.TOOL, StepKind.TOOL, StepKind.LLM]
    assert [(one.name, one.result) for one in results[0].tool_calls] == [("look_up", {"number": "7", "deep": False}), ("shout", "HEY")]
    assert results[0].messages[-1] == {"role": "assistant", "content": "all done"}
    await world.crash()
    assert await world.result(talking) == "all done"
    assert world.provider.count == 2
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("look_up", "{not json"), "no JSON"),
        (("look_up", "[1]"), "must be a JSON object"),
        (("look_up", {"number": 7}), "Expected `str`"),
        (("look_up", {}), "missing a required argument"),
        (("look_up", {"number": "7", "extra": 1}), "unexpected keyword"),
        (("erase", {}), "there is no tool 'erase'; there are: look_up"),
    ],
    ids=str,
)
async def test_a_wrong_call_is_told_to_the_model_and_not_made(world: Any, asked: tuple[str, Any], told: str) -> None:
    world.provider = FakeProvider(replies=[calls(asked), "sorry"])

    @agent
    async def talking(run: Run) -> str:
        return (await run.chat("talk", [{"role": "user", "content": "Help"}], tools=[look_up])).text

    assert await world.result(talking) == "sorry"
    said = world.provider.calls[1]["messages"][-1]["content"]
    assert said.startswith("error: ")
    assert told in said
    assert [step.key.kind for step in await world.steps()] == [StepKind.LLM, StepKind.LLM]


async def test_a_tools_own_error_ends_the_attempt_and_is_no_news_for_the_model(world: Any) -> None:
    @tool
    def broken() -> None:
        raise ValueError("no disk")

    world.provider = FakeProvider(replies=[calls(("broken", {}))])

    @agent
    async def talking(run: Run) -> None:
        await run.chat("talk", [{"role": "user", "content": "Help"}], tools=[broken])

    assert (await world.failed(talking)).step == 2


async def test_a_model_that_never_stops_calling_is_stopped(world: Any) -> None:
    world.provider = FakeProvider(replies=lambda body: calls(("shout", {"text": str(len(body["messages"]))})))

    @agent
    async def talking(run: Run) -> None:
        await run.chat("talk", [{"role": "user", "content": "Help"}], tools=[shout], max_turns=2)

    ending = await world.failed(talking)
    assert (ending.error.code, world.provider.count) == ("limit-turns", 3)


async def test_tools_and_shape_go_together(world: Any) -> None:
    world.provider = FakeProvider(replies=[calls(("shout", {"text": "a"})), "wrong", '{"team": "billing", "urgent": true}'])

    @agent
    async def talking(run: Run) -> Any:
        return (await run.chat("talk", [{"role": "user", "content": "Help"}], tools=[shout], output=Verdict)).output

    assert await world.result(talking) == {"team": "billing", "urgent": True}


async def test_a_plain_function_will_do_as_a_tool(world: Any) -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    @agent
    async def adding(run: Run) -> list[Any]:
        return [await run.call(add, 1), await run.call(add, a=1, b=2), await run.call(add, "x", idempotent=True)]

    ending = await world.failed(adding)
    assert "Expected `int`" in ending.error.message
    steps = await world.steps()
    assert [json.loads(step.result) for step in steps] == [2, 3]
    assert steps[0].tool_version


async def test_what_a_tool_returns_has_the_type_of_its_hint_now_and_on_replay(world: Any) -> None:
    def decide() -> Verdict:
        return Verdict("billing", True)

    def pair() -> tuple[int, str]:
        return (1, "a")

    def strange() -> object:
        return {"a": (1, 2)}

    seen: list[Any] = []

    @agent
    async def deciding(run: Run) -> None:
        seen.append([await run.step("decide", decide), await run.step("pair", pair), await run.call(strange)])

    await world.attempt(deciding)
    await world.crash()
    await world.attempt(deciding)
    assert seen[0] == seen[1] == [Verdict("billing", True), (1, "a"), {"a": [1, 2]}]


async def test_a_result_that_json_cannot_say_is_a_permanent_failure(world: Any) -> None:
    @agent
    async def locking(run: Run) -> None:
        await run.step("lock", threading.Lock)

    ending = await world.failed(locking)
    assert (ending.error.code, ending.error.retryable, ending.step) == ("invalid-result", False, 1)
    assert "lock" in ending.error.message


async def test_an_argument_that_json_cannot_say_is_refused_before_anything_happens(world: Any) -> None:
    @agent
    async def passing(run: Run) -> None:
        await run.step("take", print, object())

    ending = await world.failed(passing)
    assert ending.error.code == "invalid-input"
    assert "['args'][0]" in ending.error.message or ".args[0]" in ending.error.message
    assert await world.steps() == []


async def test_a_lambda_that_begins_something_async_is_awaited(world: Any) -> None:
    async def later(n: int) -> int:
        return n

    @agent
    async def stepping(run: Run) -> int:
        return await run.step("later", lambda: later(3))  # type: ignore[return-value]

    assert await world.result(stepping) == 3


async def test_a_tool_object_can_be_a_step(world: Any) -> None:
    @agent
    async def stepping(run: Run) -> str:
        return str(await run.step("shout", shout, "a"))

    assert await world.result(stepping) == "A"


# Raw requests -------------------------------------------------------------------------------------


async def test_a_request_of_ones_own_is_sent_as_it_is(world: Any) -> None:
    @agent(model="fake/mine")
    async def raw(run: Run) -> list[str]:
        one = await run.complete("raw", {"messages": [{"role": "user", "content": "x"}], "n": 1, "stream": True})
        two = await run.complete("raw", {"model": "fake/theirs", "messages": [{"role": "user", "content": "x"}]})
        return [one["object"], two["choices"][0]["message"]["content"]]

    assert await world.result(raw) == ["chat.completion", "answer to: x"]
    assert [(body["model"], body.get("n"), "stream" in body) for body in world.provider.calls] == [
        ("mine", 1, False),
        ("theirs", None, False),
    ]
