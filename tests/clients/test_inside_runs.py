"""The stock `openai` client inside an agent, cut off after each of its calls and in each: nothing recorded is paid twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import openai
import pytest

from perdure import Run, SyncRun, agent
from perdure.agents.journal import StepKind
from perdure.testing import FakeProvider, run_agent
from perdure.testing.trial import Outcome

ANSWER = "Both have their money."
LLM_CALLS, TOOL_CALLS = 3, 2
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "refund",
            "description": "Pay money back.",
            "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
        },
    }
]
PAID: list[str] = []


async def refund(order: str) -> str:
    """Pay money back."""
    PAID.append(order)
    return f"paid for {order}"


def refund_now(order: str) -> str:
    """Pay money back."""
    PAID.append(order)
    return f"paid for {order}"


def paying() -> FakeProvider:
    """A model that has two orders refunded, one after the other, and then says so; by what it is told, not by how often."""

    def reply(body: dict[str, Any]) -> Any:
        told = [one["content"] for one in body["messages"] if one["role"] == "tool"]
        if len(told) == TOOL_CALLS:
            return ANSWER
        return {"tool_calls": [{"name": "refund", "arguments": {"order": f"T-{len(told) + 1}"}}]}

    return FakeProvider(replies=reply)


async def worked(run: Run, pay: Callable[..., Any], *, stream: bool) -> str:
    """What every framework does: ask, carry out, tell, until there is an answer."""
    messages: list[Any] = [{"role": "user", "content": "Refund T-1 and T-2."}]
    quick = openai.DefaultAsyncHttpxClient(verify=False)  # reads no certificates, which is what takes a client longest
    async with openai.AsyncOpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key, http_client=quick) as client:
        while True:
            if stream:
                async with client.chat.completions.stream(model="fake-1", messages=messages, tools=TOOLS) as coming:
                    message = (await coming.get_final_completion()).choices[0].message
            else:
                answer = await client.chat.completions.create(model="fake-1", messages=messages, tools=TOOLS)
                message = answer.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(
                {"role": "assistant", "content": message.content, "tool_calls": [call.to_dict() for call in message.tool_calls]}
            )
            for call in message.tool_calls:
                found = await pay(**json.loads(call.function.arguments))  # type: ignore[union-attr]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": found})


@agent
async def wrapped(run: Run) -> str:
    return await worked(run, run.tool(refund), stream=False)


@agent
async def streaming(run: Run) -> str:
    return await worked(run, run.tool(refund), stream=True)


@agent
async def plain(run: Run) -> str:
    return await worked(run, refund, stream=False)


@agent
def blocking(run: SyncRun) -> str:
    pay, messages = run.tool(refund_now), list[Any]([{"role": "user", "content": "Refund T-1 and T-2."}])
    quick = openai.DefaultHttpxClient(verify=False)
    with openai.OpenAI(base_url=run.openai_base_url, api_key=run.openai_api_key, http_client=quick) as client:
        while True:
            message = client.chat.completions.create(model="fake-1", messages=messages, tools=TOOLS).choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(
                {"role": "assistant", "content": message.content, "tool_calls": [call.to_dict() for call in message.tool_calls]}
            )
            for call in message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": pay(**json.loads(call.function.arguments))})


async def crashed_everywhere(one: Any, steps: int) -> Sequence[tuple[Outcome, list[str]]]:
    """Let an agent work, with the worker taken away after each step was recorded, and then with it taken away in each."""
    ends = []
    for cut in ("crash_after", "crash_during"):
        for place in range(1, steps + 1):
            PAID.clear()
            ends.append((await run_agent(one, None, provider=paying(), **{cut: place}), list(PAID)))
    return ends


@pytest.mark.parametrize("one", [wrapped, streaming, blocking], ids=lambda one: one.name)
async def test_with_run_tool_neither_an_answer_nor_a_tool_is_paid_twice(one: Any) -> None:
    for outcome, paid in await crashed_everywhere(one, LLM_CALLS + TOOL_CALLS):
        kinds = Counter(step.key.kind for step in outcome.steps)
        assert outcome.crashes == 1
        assert outcome.calls - outcome.possibly_paid_twice <= kinds[StepKind.LLM], "a recorded call was made again"
        if outcome.wait is None:
            assert kinds == {StepKind.LLM: LLM_CALLS, StepKind.TOOL: TOOL_CALLS}
            assert (outcome.result, paid) == (ANSWER, ["T-1", "T-2"])
        else:
            assert outcome.wait.why == "outcome-unknown", "a tool that is not idempotent was cut off: a person decides"
            assert len(set(paid)) == len(paid) < TOOL_CALLS


async def test_without_it_answers_are_paid_once_but_tools_run_again() -> None:
    runs = []
    for outcome, paid in await crashed_everywhere(plain, LLM_CALLS):
        assert (outcome.result, outcome.crashes, len(outcome.steps)) == (ANSWER, 1, LLM_CALLS)
        assert outcome.calls - outcome.possibly_paid_twice <= LLM_CALLS
        runs.append(len(paid))
    assert runs == [2, 3, 4, 2, 3, 4], "all that were run before the crash are run again after it"
