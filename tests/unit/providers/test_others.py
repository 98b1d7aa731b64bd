"""Services with a wire of their own, by a library: here Anthropic's, from a server that fails when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from perdure.errors.base import (
    Billed,
    Category,
    ConfigError,
    EmptyAnswer,
    InvalidRequest,
    NetworkFailed,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    StreamCut,
)
from perdure.providers.others import OtherProvider
from perdure.resources.usage import Usage
from perdure.testing import real_answers

KEY = "sk-ant-never-to-be-seen"
ASK: dict[str, Any] = {"model": "claude-x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}}}
ROWS = [row for row in real_answers() if row.dialect == "anthropic" and row.raw.startswith(b'{"type"')]


class Claude:
    """Anthropic's `/v1/messages`, whole and streamed."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.next: list[web.Response | str] = []
        self.content: list[dict[str, Any]] = [{"type": "text", "text": "answer to: hello 😀"}]
        self.url = ""

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("x-api-key"))
        fault = self.next.pop(0) if self.next else None
        if isinstance(fault, web.Response):
            return fault
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "disconnect":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return await self._streamed(request, cut=fault == "cut") if body.get("stream") else web.json_response(self._whole())

    def _whole(self) -> dict[str, Any]:
        reason = "tool_use" if self.content[-1:] and self.content[-1]["type"] == "tool_use" else "end_turn"
        usage = {"input_tokens": 3, "output_tokens": 5}
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": self.content,
            "stop_reason": reason, "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    async def _streamed(self, request: web.Request, *, cut: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        start = {**self._whole(), "content": [], "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "answer to: "}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello 😀"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
        for event in events[: 4 if cut else None]:
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if cut and request.transport is not None:
            request.transport.close()
        return response


@pytest.fixture
async def claude() -> AsyncIterator[Claude]:
    made = Claude()
    app = web.Application()
    app.router.add_post("/v1/messages", made.messages)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def provider(claude: Claude) -> AsyncIterator[OtherProvider]:
    made = OtherProvider("claude", service="anthropic", base_url=claude.url, api_key=KEY, models=["claude-x"], timeout_s=10)
    yield made
    await made.aclose()


async def pieces(provider: OtherProvider, **more: Any) -> list[dict[str, Any]]:
    return [chunk async for chunk in provider.stream(ASK, **more)]


async def test_a_chat_is_answered_in_openais_words(provider: OtherProvider, claude: Claude) -> None:
    answer = await provider.chat({**ASK, "messages": [{"role": "system", "content": "be brief"}, *ASK["messages"]]})
    assert (answer.text, answer.finish_reason, answer.usage) == (
        "answer to: hello 😀",
        "stop",
        Usage(calls=1, input_tokens=3, output_tokens=5),
    )
    assert (claude.requests[0]["system"], claude.keys) == ("be brief", [KEY])


async def test_a_stream_ends_with_a_reason_and_usage(provider: OtherProvider) -> None:
    chunks = await pieces(provider)
    said = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    assert "".join(said) == "answer to: hello 😀"
    assert any(choice.get("finish_reason") == "stop" for chunk in chunks for choice in chunk["choices"])
    assert any(chunk.get("usage", {}).get("completion_tokens") == 5 for chunk in chunks)


async def test_tool_calls_come_as_openai_has_them(provider: OtherProvider, claude: Claude) -> None:
    claude.content = [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}]
    answer = await provider.chat({**ASK, "tools": [TOOL]})
    [call] = answer.message["tool_calls"]
    assert (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) == ("toolu_1", "look", {"at": "it"})
    assert claude.requests[0]["tools"][0]["name"] == "look"


async def test_thought_is_kept_apart(provider: OtherProvider, claude: Claude) -> None:
    claude.content = [{"type": "thinking", "thinking": "a greeting", "signature": "s"}, {"type": "text", "text": "hi"}]
    answer = await provider.chat(ASK)
    assert (answer.text, answer.message["reasoning_content"]) == ("hi", "a greeting")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_every_error_of_its_table_is_told_and_nothing_is_tried_again(
    provider: OtherProvider, claude: Claude, row: Any, stream: bool
) -> None:
    claude.next = [web.Response(status=row.status, body=row.raw, content_type="application/json")]
    with pytest.raises(ProviderError) as caught:
        await (pieces(provider) if stream else provider.chat(ASK))
    assert (caught.value.category, caught.value.retryable, caught.value.scope) == (row.category, row.retryable, row.scope)
    assert len(claude.requests) == 1


async def test_the_moment_it_names_is_kept_to_and_its_key_is_nowhere(provider: OtherProvider, claude: Claude) -> None:
    said = {"type": "error", "error": {"type": "rate_limit_error", "message": f"slow down, {KEY}"}}
    claude.next = [web.json_response(said, status=429, headers={"retry-after": "3600"})]
    with pytest.raises(RateLimited) as caught:
        await provider.chat(ASK)
    assert caught.value.retry_at is not None
    assert KEY not in f"{caught.value!r} {caught.value.facts()}"


@pytest.mark.parametrize(
    ("fault", "kind", "billed"), [("hang", ProviderTimeout, Billed.MAYBE), ("disconnect", NetworkFailed, Billed.MAYBE)]
)
async def test_what_breaks_may_have_been_paid(
    provider: OtherProvider, claude: Claude, fault: str, kind: type[ProviderError], billed: Billed
) -> None:
    for stream in (False, True):
        claude.next = [fault]
        with pytest.raises(kind) as caught:
            await (pieces(provider, timeout_s=0.5) if stream else provider.chat(ASK, timeout_s=0.5))
        assert caught.value.billed is billed
    assert (await provider.chat(ASK)).text


async def test_a_stream_that_is_cut_is_no_answer(provider: OtherProvider, claude: Claude) -> None:
    claude.next = ["cut"]
    with pytest.raises(StreamCut) as caught:
        await pieces(provider)
    assert caught.value.billed is Billed.PARTIAL


async def test_an_answer_without_a_word_is_none(provider: OtherProvider, claude: Claude) -> None:
    claude.content = []
    with pytest.raises(EmptyAnswer):
        await provider.chat(ASK)


async def test_what_the_service_does_not_know_is_refused_and_not_left_out(provider: OtherProvider, claude: Claude) -> None:
    with pytest.raises(InvalidRequest, match="seed"):
        await provider.chat({**ASK, "seed": 7})
    assert claude.requests == []


async def test_a_server_that_is_not_there_has_cost_nothing() -> None:
    away = OtherProvider("claude", service="anthropic", base_url="http://127.0.0.1:9", api_key=KEY)
    with pytest.raises(NetworkFailed) as caught:
        await away.chat(ASK)
    assert (caught.value.billed, caught.value.category) == (Billed.NO, Category.NETWORK)
    await away.aclose()


async def test_a_service_that_cannot_be_made_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        await OtherProvider("aws", service="bedrock").chat(ASK)
    assert "any-llm-sdk[bedrock]" in str(caught.value.hint)
