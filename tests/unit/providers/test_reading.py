"""Streams and answers that real servers send and no specification allows, byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perdure.errors.base import (
    Billed,
    ContentFiltered,
    EmptyAnswer,
    InvalidRequest,
    ModelNotFound,
    NetworkFailed,
    ProviderError,
    RateLimited,
    ServerFailed,
    StreamCut,
)
from perdure.providers.generic import GenericProvider

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
HELLO = 'data: {"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
STOP = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"


@asynccontextmanager
async def saying(raw: bytes) -> AsyncIterator[GenericProvider]:
    """A provider whose server answers everything with these bytes and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        await reader.readexactly(length)
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    provider = GenericProvider("odd", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", timeout_s=10)
    try:
        yield provider
    finally:
        await provider.aclose()
        server.close()


def http(body: str | bytes, kind: str = "application/json", status: str = "200 OK", more: str = "") -> bytes:
    raw = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}\r\n".encode() + raw


def stream(*events: str) -> bytes:
    return http("".join(events), "text/event-stream; charset=utf-8")


async def fails(raw: bytes, call: Callable[[GenericProvider], Awaitable[Any]] | None = None) -> ProviderError:
    async with saying(raw) as provider:
        with pytest.raises(ProviderError) as caught:
            await (provider.chat(ASK) if call is None else call(provider))
    return caught.value


async def listed(provider: GenericProvider) -> list[str]:
    return await provider.models()


@pytest.mark.parametrize("end", [[STOP, DONE], [STOP], [DONE], [STOP.rstrip("\n")]])
async def test_a_stream_is_complete_with_a_reason_or_with_done(end: list[str]) -> None:
    async with saying(stream(": ping\n\n", HELLO, *end)) as provider:
        assert (await provider.chat(ASK)).text == "hello"


async def test_a_stream_that_just_ends_was_cut() -> None:
    error = await fails(stream(HELLO))
    assert isinstance(error, StreamCut)
    assert error.billed is Billed.PARTIAL
    assert error.retryable


@pytest.mark.parametrize("events", [[], [": ping\n\n"], ['data: {"choices":[]}\n\n']])
async def test_a_stream_with_nothing_in_it_is_an_empty_answer(events: list[str]) -> None:
    error = await fails(stream(*events))
    assert isinstance(error, EmptyAnswer)
    assert error.evidence.rule == "empty-stream"


@pytest.mark.parametrize(
    "events", [[DONE], ['data: {"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":"stop"}]}\n\n', DONE]]
)
async def test_a_stream_that_ends_well_and_says_nothing_is_an_empty_answer(events: list[str]) -> None:
    assert isinstance(await fails(stream(*events)), EmptyAnswer)


@pytest.mark.parametrize("piece", ["data: {oops\n\n", "data: [1]\n\n", "data: 5\n\n"])
async def test_a_piece_that_is_none_is_a_failure_before_and_a_cut_after_the_first(piece: str) -> None:
    before = await fails(stream(piece))
    assert isinstance(before, ServerFailed)
    assert before.billed is Billed.MAYBE
    assert isinstance(await fails(stream(HELLO, piece)), StreamCut)


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        ('data: {"error":{"message":"m","code":"rate_limit_exceeded"}}\n\n', RateLimited),
        ('event: error\n:HTTP_STATUS/429\ndata: {"code":"NeverSeen","message":"m"}\n\n', RateLimited),
        ("event: error\ndata: plain words HTTP_STATUS/503\n\n", ProviderError),
        ('event: error\ndata: {"strange": true}\n\n', ServerFailed),
        ('data: {"code":"data_inspection_failed","message":"Output data may contain inappropriate content."}\n\n', ContentFiltered),
    ],
)
async def test_an_error_inside_the_stream_is_judged_and_was_partly_paid(piece: str, kind: type[ProviderError]) -> None:
    error = await fails(stream(HELLO, piece))
    assert isinstance(error, kind)
    assert error.billed is Billed.PARTIAL


async def test_a_held_back_tag_is_not_lost_when_no_reason_comes() -> None:
    held = 'data: {"choices":[{"index":0,"delta":{"content":"<th"},"finish_reason":null}]}\n\n'
    async with saying(stream(held, DONE)) as provider:
        assert (await provider.chat(ASK)).text == "<th"


async def test_an_endless_event_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = 'data: {"x": "' + "x" * (17 * 1024 * 1024)
    error = await fails(stream(huge))
    assert isinstance(error, ServerFailed)
    assert error.evidence.rule == "event-size"


async def test_an_endless_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.providers.http._MAX_ANSWER_BYTES", 1000)
    error = await fails(http("x" * 5000))
    assert isinstance(error, ServerFailed)
    assert "more than 1000 bytes" in error.message


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    error = await fails(http("", status="302 Found", more="location: http://127.0.0.1:9/v1\r\n"))
    assert isinstance(error, InvalidRequest)
    assert "base_url" in str(error.hint)


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\x02", b"HTTP/1.1 banana\r\n\r\n"])
async def test_what_does_not_speak_http_is_a_failure(raw: bytes) -> None:
    error = await fails(raw)
    assert isinstance(error, ServerFailed | NetworkFailed)
    assert error.billed is Billed.MAYBE


async def test_a_body_cut_short_is_no_answer() -> None:
    error = await fails(http('{"choices": [', more="content-length: 5000\r\n"))
    assert isinstance(error, NetworkFailed)
    assert error.billed is Billed.MAYBE


@pytest.mark.parametrize("body", ["[1]", '{"data": 5}', "<html>", '{"object":"list"}', "[" * 3000])
async def test_a_list_of_models_that_is_none_is_a_failure(body: str) -> None:
    assert isinstance(await fails(http(body), listed), ServerFailed)


async def test_a_list_of_models_bears_odd_rows() -> None:
    async with saying(http(json.dumps({"data": [{"id": "a"}, {"no": 1}, 5, {"id": ""}]}))) as provider:
        assert await provider.models() == ["a"]


async def test_a_server_that_streams_unasked_is_understood() -> None:
    async with saying(stream(HELLO, STOP, 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n', DONE)) as provider:
        answer = await provider.chat(ASK)
    assert (answer.text, answer.usage.output_tokens) == ("hello", 2)


async def test_a_missing_model_is_named_from_the_body() -> None:
    body = json.dumps({"error": {"message": "The model `m` does not exist", "type": "invalid_request_error", "code": None}})
    assert isinstance(await fails(http(body, status="404 Not Found")), ModelNotFound)
