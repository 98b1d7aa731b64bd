"""The part of the provider kit that asks and wants an answer: against a fault server, a fake, or the real endpoint.

No test here needs pytest: `perdure providers check NAME --conformance` runs the same for a user.
"""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any, ClassVar

import jsonschema_rs

from perdure.errors.base import InvalidRequest, SyncCallInAsync
from perdure.providers.protocol import ChatAnswer, EmbeddingProvider, LLMProvider
from perdure.testing.case import ProviderCase, caught, pieces, text_of
from perdure.wire.assemble import Assembler

__all__ = ["Answering"]

REASONS = {"stop", "length", "tool_calls", "content_filter"}
UNICODE = "Grüße, 你好, שלום, नमस्ते, 👩‍👩‍👧‍👦, e\u0301, \u202e, \u0000?".replace("\u0000", "\u2028")
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 30}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Tells the weather of a city.", "parameters": CITY}}
FORCED = {"type": "function", "function": {"name": "get_weather"}}
WEATHER = "What is the weather in Paris?"
SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}


class Answering:
    """A provider answers."""

    _standard: ClassVar[bool] = True

    async def test_a_chat_is_answered(self, case: ProviderCase) -> None:
        answer = await case.provider.chat(case.ask())
        assert isinstance(answer, ChatAnswer)
        assert text_of(answer), f"the answer is empty: {answer.body!r:.300}"
        assert answer.message["role"] == "assistant"
        assert answer.finish_reason in REASONS

    async def test_tokens_are_counted_or_unknown_but_never_nothing(self, case: ProviderCase) -> None:
        usage = (await case.provider.chat(case.ask())).usage
        assert usage.calls == 1
        assert usage.input_tokens != 0
        assert usage.output_tokens != 0
        assert "usage" not in case.skills or usage.input_tokens is not None, "it says that it counts, and did not"

    async def test_a_stream_is_chunks_that_make_one_answer(self, case: ProviderCase) -> None:
        chunks = await pieces(case, case.ask())
        whole = _assembled(chunks)
        assert all(isinstance(chunk.get("choices"), list) for chunk in chunks)
        assert whole["choices"][0]["finish_reason"] in REASONS
        message = whole["choices"][0]["message"]
        assert message.get("content") or message.get("reasoning_content")

    async def test_a_stream_ends_with_its_usage_and_no_choices(self, case: ProviderCase) -> None:
        counted = [chunk for chunk in await pieces(case, case.ask()) if chunk.get("usage")]
        if "usage" in case.skills:
            assert counted, "no chunk has usage"
            assert counted[-1]["choices"] == []

    async def test_letters_of_all_kinds_come_through(self, case: ProviderCase) -> None:
        body = case.ask(f"Repeat: {UNICODE}")
        answer = await case.provider.chat(body)
        said = _assembled(await pieces(case, body))["choices"][0]["message"].get("content") or ""
        answer.text.encode("utf-8")
        if case.echoes:
            assert UNICODE in answer.text
            assert UNICODE in said

    async def test_a_forced_tool_call_has_its_name_and_arguments_that_are_json(self, case: ProviderCase) -> None:
        body = case.ask(WEATHER, tools=[TOOL], tool_choice=FORCED)
        if "forced-tools" not in case.skills:
            return await _is_refused(case, body)
        _check_call(await case.provider.chat(body))
        _check_call_in(_assembled(await pieces(case, body)))
        return None

    async def test_tools_may_be_offered(self, case: ProviderCase) -> None:
        body = case.ask(WEATHER, tools=[TOOL])
        if "tools" not in case.skills:
            return await _is_refused(case, body)
        answer = await case.provider.chat(body)
        assert text_of(answer) or answer.message.get("tool_calls")
        if answer.message.get("tool_calls"):
            _check_call(answer)
        return None

    async def test_the_result_of_a_tool_is_taken(self, case: ProviderCase) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        said = [
            {"role": "user", "content": WEATHER},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny, 24 degrees."},
        ]
        body = {**case.ask(), "messages": said, "tools": [TOOL]}
        if "tools" not in case.skills:
            return await _is_refused(case, body)
        answer = await case.provider.chat(body)
        assert text_of(answer) or answer.message.get("tool_calls")
        return None

    async def test_an_answer_has_the_schema_that_was_asked_for(self, case: ProviderCase) -> None:
        body = case.ask("Name a city, as JSON.", response_format=SCHEMA)
        if "schema" not in case.skills:
            return await _is_refused(case, body)
        answer = await case.provider.chat(body)
        assert jsonschema_rs.is_valid(CITY, json.loads(answer.text)), f"no such object: {answer.text!r:.300}"
        return None

    async def test_what_was_asked_is_left_as_it_was(self, case: ProviderCase) -> None:
        body = case.ask(tools=[TOOL]) if "tools" in case.skills else case.ask()
        before = copy.deepcopy(body)
        await case.provider.chat(body)
        await pieces(case, body)
        assert body == before

    async def test_many_at_once_get_each_their_own(self, case: ProviderCase) -> None:
        answers = await asyncio.gather(*(case.provider.chat(case.ask(f"Say {n}.")) for n in range(8)))
        assert all(text_of(answer) for answer in answers)
        if case.echoes:
            assert [answer.text for answer in answers] == [f"answer to: Say {n}." for n in range(8)]

    async def test_a_cancelled_call_leaves_it_good(self, case: ProviderCase) -> None:
        task = asyncio.ensure_future(case.provider.chat(case.ask("Tell a long story.")))
        await asyncio.wait([task], timeout=0.02)
        task.cancel()
        await asyncio.wait([task], timeout=30)
        assert task.done(), "it does not let itself be cancelled"
        assert text_of(await case.provider.chat(case.ask()))

    async def test_a_stream_that_is_left_in_the_middle_leaves_it_good(self, case: ProviderCase) -> None:
        stream = case.provider.stream(case.ask("Tell a long story."))
        assert await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        assert text_of(await case.provider.chat(case.ask()))

    async def test_models_are_listed_by_name(self, case: ProviderCase) -> None:
        found = await case.provider.models()
        assert all(type(name) is str and name for name in found)
        assert not found or case.model in found, f"{case.model!r} is not among {found[:10]!r}"

    async def test_texts_become_vectors_in_their_order(self, case: ProviderCase) -> None:
        if not isinstance(case.provider, EmbeddingProvider) or not case.echoes:
            return  # chat models rarely embed, and which do is not ours to guess
        [one, other, again] = (await case.provider.embed(["a", "b", "a"], model=case.model)).vectors
        assert one == again != other

    async def test_the_simple_door_is_there_and_stands_on_no_running_loop(self, case: ProviderCase) -> None:
        if not isinstance(case.provider, LLMProvider):
            return
        try:
            case.provider.generate("Say hello.", "")
        except SyncCallInAsync:
            said = await asyncio.to_thread(case.provider.generate, "Say hello.", "Be brief.")
            assert said is None or isinstance(said, str)
        else:
            raise AssertionError("`generate` blocked the thread of a running event loop")
        assert {"requests", "errors", "input_tokens", "output_tokens", "seconds"} <= set(case.provider.get_metrics())
        assert await asyncio.to_thread(case.provider.validate) is True


def _assembled(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    assert assembler.finished, f"no choice has a reason to have ended: {chunks[-1:]!r:.300}"
    return assembler.finish()


def _check_call(answer: ChatAnswer) -> None:
    _check_call_in(answer.body)


def _check_call_in(body: dict[str, Any]) -> None:
    calls = body["choices"][0]["message"].get("tool_calls")
    assert calls, f"no tool call in {body!r:.300}"
    assert len({call["id"] for call in calls}) == len(calls)
    for call in calls:
        assert call["id"]
        assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
        arguments = json.loads(call["function"]["arguments"])
        assert jsonschema_rs.is_valid(CITY, arguments), f"no such arguments: {arguments!r:.300}"


async def _is_refused(case: ProviderCase, body: dict[str, Any]) -> None:
    """What it cannot it says by name, and does not leave out silently."""
    error = await caught(case, body=body)
    assert isinstance(error, InvalidRequest), f"it was asked for what it cannot, and said: {error!r}"
    assert not error.retryable
