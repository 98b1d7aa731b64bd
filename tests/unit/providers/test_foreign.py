"""Any object with the three methods plugs in; one that hangs cannot hang us."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from perdure.errors.base import Billed, ConfigError, EmptyAnswer, InvalidRequest, Overloaded, ProviderTimeout, RateLimited, ServerFailed
from perdure.providers.foreign import ForeignProvider
from perdure.resources.usage import Usage

ASK: dict[str, Any] = {"model": "default", "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]}


class Foreign:
    """What a user might bring."""

    def __init__(self, answer: Any = "hi") -> None:
        self.answer, self.asked = answer, list[tuple[str, str]]()

    def generate(self, prompt: str, system_prompt: str) -> str | None:
        self.asked.append((prompt, system_prompt))
        if isinstance(self.answer, Exception):
            raise self.answer
        found: str | None = self.answer() if callable(self.answer) else self.answer
        return found

    def get_metrics(self) -> dict[str, Any]:
        return {"mine": len(self.asked)}

    def validate(self) -> bool:
        return self.answer is not None


async def test_it_answers_chats_with_unknown_usage() -> None:
    inner = Foreign()
    answer = await ForeignProvider("f", inner).chat(ASK)
    assert (answer.text, answer.usage) == ("hi", Usage(calls=1))
    assert "usage" not in answer.body
    assert inner.asked == [("hello", "be kind")]


async def test_a_conversation_is_put_into_words() -> None:
    inner = Foreign()
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "c"}]},
    ]
    await ForeignProvider("f", inner).chat({"messages": turns})
    assert inner.asked == [("User: a\n\nAssistant: b\n\nUser: c", "")]


async def test_a_schema_and_tools_are_put_into_words() -> None:
    inner = Foreign('{"name": "find", "arguments": {}}')
    tools = [{"type": "function", "function": {"name": "find"}}]
    answer = await ForeignProvider("f", inner).chat({**ASK, "tools": tools})
    assert answer.message["tool_calls"][0]["function"]["name"] == "find"
    assert "Answer with JSON only" in inner.asked[0][1]


async def test_a_picture_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="text only"):
        await ForeignProvider("f", Foreign()).chat({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})


async def test_it_streams_in_one_piece() -> None:
    chunks = [chunk async for chunk in ForeignProvider("f", Foreign()).stream(ASK)]
    assert [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]][1] == "hi"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, EmptyAnswer),
        ("", EmptyAnswer),
        (5, ServerFailed),
        (KeyError("x"), ServerFailed),
        (TimeoutError("own"), ServerFailed),
        (RateLimited("r"), RateLimited),
    ],
)
async def test_what_is_no_answer_becomes_our_error(answer: Any, kind: type[Exception]) -> None:
    provider = ForeignProvider("f", Foreign(answer))
    with pytest.raises(kind) as caught:
        await provider.chat(ASK)
    assert type(caught.value) is kind
    assert provider.get_metrics()["errors"] == 1
    assert provider.get_metrics()["hanging"] == 0


async def test_one_that_hangs_is_abandoned_counted_and_at_last_refused() -> None:
    let_go = threading.Event()
    inner = Foreign(lambda: let_go.wait(30) and "late")
    provider = ForeignProvider("f", inner, most_abandoned=1)
    with pytest.raises(ProviderTimeout) as caught:
        await provider.chat(ASK, timeout_s=0.05)
    assert caught.value.billed is Billed.MAYBE
    metrics = provider.get_metrics()
    assert (metrics["abandoned"], metrics["hanging"], metrics["inner"]) == (1, 1, {"mine": 1})
    with pytest.raises(Overloaded, match="hang"):
        await provider.chat(ASK)
    let_go.set()
    async with asyncio.timeout(5):
        while provider.get_metrics()["hanging"]:
            await asyncio.sleep(0.005)
    assert (await provider.chat(ASK)).text == "late"


async def test_a_cancelled_call_leaves_its_thread_behind() -> None:
    let_go, began = threading.Event(), threading.Event()

    def hang() -> str:
        began.set()
        let_go.wait(30)
        return "late"

    provider = ForeignProvider("f", Foreign(hang))
    call = asyncio.create_task(provider.chat(ASK))
    assert await asyncio.to_thread(began.wait, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert provider.get_metrics()["hanging"] == 1
    let_go.set()


async def test_its_own_validate_is_asked() -> None:
    await ForeignProvider("f", Foreign()).check()
    with pytest.raises(ServerFailed):
        await ForeignProvider("f", Foreign(None)).check()
    assert await ForeignProvider("f", Foreign()).models() == ["default"]


def test_its_simple_door_works_too() -> None:
    assert ForeignProvider("f", Foreign()).generate("a", "b") == "hi"


def test_what_has_not_the_three_methods_is_refused() -> None:
    with pytest.raises(ConfigError, match="no LLMProvider"):
        ForeignProvider("f", object())  # type: ignore[arg-type]
