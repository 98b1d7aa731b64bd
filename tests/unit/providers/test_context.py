"""Servers that cut a conversation without a word are asked how much fits, before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from perdure.errors.base import Billed, ContextTooLong
from perdure.providers.context import estimated_tokens
from perdure.providers.generic import GenericProvider
from perdure.testing.upstream import Upstream


def ask(text: str, model: str = "qwen3:8b") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


@pytest.fixture
async def loaded() -> AsyncIterator[dict[str, Any]]:
    """What Ollama says of loaded models, and a server that says it and answers chats with one word."""
    said: dict[str, Any] = {"models": [{"name": "qwen3:8b", "context_length": 4096}], "asked": 0, "chats": 0}

    async def tell(_: web.Request) -> web.Response:
        said["asked"] += 1
        return web.json_response({"models": said["models"]}, status=said.get("status", 200))

    async def chat(_: web.Request) -> web.Response:
        said["chats"] += 1
        return web.json_response({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]})

    app = web.Application(client_max_size=1 << 24)
    app.router.add_get("/api/ps", tell)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    said["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield said
    await runner.cleanup()


@pytest.fixture
async def ollama(loaded: dict[str, Any]) -> AsyncIterator[GenericProvider]:
    made = GenericProvider("mine", base_url=loaded["url"], dialect="ollama")
    yield made
    await made.aclose()


async def test_a_conversation_that_would_be_cut_is_refused_and_nothing_is_sent(ollama: GenericProvider, loaded: dict[str, Any]) -> None:
    with pytest.raises(ContextTooLong, match="4096 of 'qwen3:8b'") as caught:
        await ollama.chat(ask("word " * 5000))
    with pytest.raises(ContextTooLong):
        async for _ in ollama.stream(ask("word " * 5000)):
            pass
    assert (caught.value.billed, loaded["chats"]) == (Billed.NO, 0)


async def test_what_fits_is_sent_and_a_short_one_is_not_asked_about(ollama: GenericProvider, loaded: dict[str, Any]) -> None:
    await ollama.chat(ask("word " * 3000))
    assert (loaded["asked"], loaded["chats"]) == (1, 1)
    await ollama.chat(ask("hello"))
    assert (loaded["asked"], loaded["chats"]) == (1, 2)


@pytest.mark.parametrize("said", [[], [{"name": "another", "context_length": 10}], [{"name": "qwen3:8b"}], "nonsense"])
async def test_where_it_does_not_say_the_call_decides(ollama: GenericProvider, loaded: dict[str, Any], said: Any) -> None:
    loaded["models"] = said
    assert (await ollama.chat(ask("word " * 50_000))).text == "yes"


async def test_an_ollama_that_does_not_know_the_question_is_asked_to_chat_all_the_same(
    ollama: GenericProvider, loaded: dict[str, Any]
) -> None:
    loaded["status"] = 500
    assert (await ollama.chat(ask("word " * 50_000))).text == "yes"


async def test_the_settings_own_number_holds_for_any_server(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, context_tokens=10)
    assert (await provider.chat(ask("short"))).text
    with pytest.raises(ContextTooLong):
        await provider.chat(ask("a much longer question " * 5))
    assert upstream.count() == 1
    await provider.aclose()


def test_the_estimate_is_low_and_counts_texts_calls_and_tools() -> None:
    assert estimated_tokens(ask("a" * 500)) == 100
    assert estimated_tokens(ask("你好" * 50)) == 50
    image = {"type": "image_url", "image_url": {"url": "data:" + "A" * 10_000}}
    assert estimated_tokens({"messages": [{"role": "user", "content": [{"type": "text", "text": "a" * 50}, image]}]}) == 10
    call = {"function": {"name": "f", "arguments": "a" * 50}}
    assert estimated_tokens({"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}) == 10
    assert estimated_tokens({"messages": [], "tools": [{"function": {"name": "f", "description": "a" * 500}}]}) > 100
