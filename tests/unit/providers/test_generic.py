"""One call is one request over real HTTP, and every way it can fail is told apart."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    ConfigError,
    ContentFiltered,
    ContextTooLong,
    EmptyAnswer,
    InvalidRequest,
    ModelNotFound,
    NetworkFailed,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    ServerFailed,
    StreamCut,
)
from perdure.events import listen
from perdure.providers.generic import GenericProvider
from perdure.resources.usage import Usage
from perdure.testing.upstream import Fault, Upstream

ASK: dict[str, Any] = {"model": "fake-1", "messages": [{"role": "user", "content": "how are you"}]}


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[GenericProvider]:
    made = GenericProvider("up", base_url=upstream.base_url, timeout_s=5)
    yield made
    await made.aclose()


async def pieces(provider: GenericProvider, body: dict[str, Any] = ASK, **more: Any) -> list[dict[str, Any]]:
    return [chunk async for chunk in provider.stream(body, **more)]


async def test_an_answer_comes_whole_with_its_usage(provider: GenericProvider) -> None:
    answer = await provider.chat(ASK)
    assert answer.text == "answer to: how are you"
    assert answer.finish_reason == "stop"
    assert answer.usage == Usage(calls=1, input_tokens=3, output_tokens=5)
    assert answer.request_id == "req_chatcmpl-1"


async def test_what_was_left_out_is_not_sent_and_what_is_unknown_passes_through(provider: GenericProvider, upstream: Upstream) -> None:
    await provider.chat({**ASK, "stream": True, "stream_options": {}, "chat_template_kwargs": {"enable_thinking": False}})
    assert upstream.requests[0].body == {**ASK, "chat_template_kwargs": {"enable_thinking": False}}


async def test_a_stream_gives_pieces_and_ends_with_usage(provider: GenericProvider, upstream: Upstream) -> None:
    chunks = await pieces(provider)
    assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]) == "answer to: how are you"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert upstream.requests[0].body["stream_options"] == {"include_usage": True}


async def test_a_connection_is_used_again_after_a_stream(provider: GenericProvider, upstream: Upstream) -> None:
    opened = []
    for _ in range(3):
        await pieces(provider)
        [session] = provider._door._sessions._open.values()
        opened.append(sum(len(free) for free in session.connector._conns.values()))  # type: ignore[union-attr]
    assert opened == [1, 1, 1]


async def test_tool_calls_come_through(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.reply = lambda _: {"tool_calls": [{"name": "find", "arguments": {"q": "x"}}, {"name": "look", "arguments": {}}]}
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("find", "look")]
    answer = await provider.chat({**ASK, "tools": tools})
    assert [call["function"]["name"] for call in answer.message["tool_calls"]] == ["find", "look"]
    assert answer.finish_reason == "tool_calls"
    assert upstream.requests[0].body["tools"] == tools


async def test_reasoning_is_kept_apart_in_whole_and_streamed_answers(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.reply = lambda _: "<think>it is a question</think>\n\nfine"
    answer = await provider.chat(ASK)
    assert (answer.text, answer.message["reasoning_content"]) == ("fine", "it is a question")
    deltas = [choice["delta"] for chunk in await pieces(provider) for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "fine"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "it is a question"


FAULTS: list[tuple[Fault, type[ProviderError], Billed, bool]] = [
    (Fault("status", 429, {"retry-after": "2"}, {"error": {"code": "rate_limit_exceeded", "message": "m"}}), RateLimited, Billed.NO, True),
    (Fault("status", 500), ServerFailed, Billed.NO, True),
    (Fault("status", 401, body={"error": {"code": "invalid_api_key", "message": "m"}}), AuthenticationFailed, Billed.NO, True),
    (Fault("status", 400, body={"error": {"message": "no", "type": "invalid_request_error"}}), InvalidRequest, Billed.NO, False),
    (Fault("status", 502, body="<html>bad gateway</html>"), ServerFailed, Billed.MAYBE, True),
    (Fault("html"), ServerFailed, Billed.MAYBE, True),
    (Fault("empty"), EmptyAnswer, Billed.MAYBE, True),
    (Fault("garbage"), ServerFailed, Billed.MAYBE, True),
    (Fault("garbage", body={"choices": []}), ServerFailed, Billed.MAYBE, True),
    (Fault("garbage", body={"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}), EmptyAnswer, Billed.YES, True),
    (
        Fault("garbage", body={"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}),
        ContentFiltered,
        Billed.YES,
        False,
    ),
    (
        Fault("garbage", body={"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}),
        Refused,
        Billed.YES,
        False,
    ),
    (
        Fault("garbage", body={"choices": [{"message": {"content": "Half a"}, "finish_reason": "content_filter"}]}),
        ContentFiltered,
        Billed.YES,
        False,
    ),
    (Fault("garbage", body={"choices": [{"message": {"content": "I can't."}, "finish_reason": "refusal"}]}), Refused, Billed.YES, False),
    (
        Fault("garbage", body={"choices": [{"message": {"content": "Half a"}, "finish_reason": "model_context_window_exceeded"}]}),
        ContextTooLong,
        Billed.YES,
        False,
    ),
    (Fault("garbage", body={"error": {"code": "rate_limit_exceeded", "message": "m"}}), RateLimited, Billed.NO, True),
    (Fault("disconnect"), NetworkFailed, Billed.MAYBE, True),
    (Fault("cut"), StreamCut, Billed.PARTIAL, True),
    (Fault("cut", after=0), NetworkFailed, Billed.MAYBE, True),
    (Fault("stream-error", body={"error": {"code": "rate_limit_exceeded", "message": "m"}}), RateLimited, Billed.PARTIAL, True),
    (Fault("stream-error", after=0, body={"error": {"message": "x HTTP_STATUS/429"}}), RateLimited, Billed.NO, True),
]


@pytest.mark.parametrize(("fault", "kind", "billed", "retryable"), FAULTS)
@pytest.mark.parametrize("way", ["whole", "stream"])
async def test_a_fault_is_told_by_its_class_and_what_it_cost(
    upstream: Upstream, provider: GenericProvider, fault: Fault, kind: type[ProviderError], billed: Billed, retryable: bool, way: str
) -> None:
    upstream.script(fault)
    with pytest.raises(ProviderError) as caught:
        await (provider.chat(ASK) if way == "whole" else pieces(provider))
    assert (type(caught.value), caught.value.billed, caught.value.retryable) == (kind, billed, retryable)
    assert caught.value.evidence.provider == "up"
    assert upstream.count() == 1, "nothing here may try again"
    assert (await provider.chat(ASK)).text, "and the provider is good for the next call"


async def test_a_silent_upstream_is_given_up_and_may_have_been_paid(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.script(Fault("hang"), Fault("hang"))
    with pytest.raises(ProviderTimeout) as caught:
        await provider.chat(ASK, timeout_s=0.1)
    assert caught.value.billed is Billed.MAYBE
    with pytest.raises(ProviderTimeout):
        await pieces(provider, timeout_s=0.1)


async def test_nobody_there_costs_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        provider = GenericProvider("gone", base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        with pytest.raises(NetworkFailed) as caught:
            await provider.chat(ASK)
        assert caught.value.billed is Billed.NO
        await provider.aclose()


async def test_an_unknown_host_costs_nothing() -> None:
    provider = GenericProvider("gone", base_url="http://nobody.invalid/v1")
    with pytest.raises(NetworkFailed) as caught:
        await provider.chat(ASK, timeout_s=30)
    assert caught.value.billed is Billed.NO
    await provider.aclose()


async def test_a_server_without_tls_where_tls_is_wanted_costs_nothing(upstream: Upstream) -> None:
    provider = GenericProvider("plain", base_url=f"https://127.0.0.1:{upstream.port}/v1")
    with pytest.raises(NetworkFailed) as caught:
        await provider.chat(ASK)
    assert (caught.value.billed, caught.value.evidence.rule) == (Billed.NO, "tls")
    await provider.aclose()


async def test_what_no_rule_knows_is_counted_apart(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.script(Fault("status", 418, body={"error": {"code": "teapot", "message": "m"}}), Fault("status", 500))
    for _ in range(2):
        with pytest.raises(ProviderError):
            await provider.chat(ASK)
    metrics = provider.get_metrics()
    assert (metrics["errors"], metrics["unmapped"]) == (2, 1)


async def test_what_cannot_be_written_as_json_is_never_sent(provider: GenericProvider, upstream: Upstream) -> None:
    for content in ("\ud800", object()):
        with pytest.raises(InvalidRequest):
            await provider.chat({**ASK, "messages": [{"role": "user", "content": content}]})
    assert upstream.count() == 0


async def test_the_key_is_sent_and_never_shown(upstream: Upstream) -> None:
    upstream.api_key = "sk-right-key-1234"
    good = GenericProvider("up", base_url=upstream.base_url, api_key="sk-right-key-1234", headers={"x-tag": "mine"})
    assert (await good.chat(ASK)).text
    assert upstream.requests[0].tag == "mine"
    assert "right" not in repr(good) + repr(good._door)
    bad = GenericProvider("up", base_url=upstream.base_url, api_key="sk-wrong")
    with pytest.raises(AuthenticationFailed):
        await bad.check()
    await good.aclose()
    await bad.aclose()


@pytest.mark.parametrize("url", ["", "ftp://x/v1", "localhost:80", "http://", "https://u:p@host/v1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError):
        GenericProvider("x", base_url=url)


@pytest.mark.parametrize("key", ["sk-a\n", " sk-a", "sk-ä", ""])
def test_a_key_that_no_key_looks_like_is_refused_at_once(key: str) -> None:
    if key == "":
        GenericProvider("x", base_url="http://x/v1", api_key=key)
        return
    with pytest.raises(ConfigError) as caught:
        GenericProvider("x", base_url="http://x/v1", api_key=key)
    assert key.strip() not in str(caught.value)


async def test_models_are_listed_and_a_missing_one_is_named(upstream: Upstream, provider: GenericProvider) -> None:
    assert await provider.models() == ["fake-1"]
    await provider.check()
    wrong = GenericProvider("up", base_url=upstream.base_url, models=["fake-9"])
    with pytest.raises(ModelNotFound, match="fake-9"):
        await wrong.check()
    await wrong.aclose()


async def test_a_wrong_path_is_explained(upstream: Upstream) -> None:
    provider = GenericProvider("up", base_url=upstream.base_url.removesuffix("/v1") + "/nowhere")
    with pytest.raises(InvalidRequest) as caught:
        await provider.check()
    assert "/v1" in str(caught.value.hint)
    await provider.aclose()


async def test_many_calls_at_once_share_one_session(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.delay_s = 0.05
    answers = await asyncio.gather(*(provider.chat(ASK) for _ in range(150)))
    assert len(answers) == upstream.count() == 150
    assert len(provider._door._sessions._open) == 1


async def test_a_cancelled_call_ends_at_once_and_is_counted(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.script(Fault("hang"))
    call = asyncio.create_task(provider.chat(ASK))
    async with asyncio.timeout(5):
        while not upstream.count():
            await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert provider.get_metrics()["cancelled"] == 1


async def test_a_stream_left_early_is_closed(upstream: Upstream, provider: GenericProvider) -> None:
    stream = provider.stream(ASK)
    assert (await anext(aiter(stream)))["choices"]
    await stream.aclose()  # type: ignore[attr-defined]
    assert provider.get_metrics()["cancelled"] == 1


async def test_an_upstream_that_streams_or_does_not_against_our_wish_is_borne(upstream: Upstream, provider: GenericProvider) -> None:
    whole = {
        "id": "x",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
    }
    upstream.script(Fault("garbage", body=whole))
    chunks = await pieces(provider)
    assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]) == "whole"


async def test_an_answer_cut_short_by_its_limit_is_no_failure(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.script(Fault("garbage", body={"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}))
    assert (await provider.chat(ASK)).finish_reason == "length"


async def test_what_happened_is_told_and_counted(upstream: Upstream, provider: GenericProvider) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    stop = listen("provider.", lambda name, facts: heard.append((name, dict(facts))))
    try:
        await provider.chat(ASK)
        upstream.script(Fault("status", 500))
        with pytest.raises(ServerFailed):
            await provider.chat(ASK)
    finally:
        stop()
    mine = [(name, facts) for name, facts in heard if facts["provider"] == "up"]
    assert [name for name, _ in mine] == ["provider.answered", "provider.failed"]
    assert mine[1][1]["code"] == "provider-server"
    assert "how are you" not in json.dumps(mine, default=str)
    metrics = provider.get_metrics()
    assert (metrics["requests"], metrics["errors"], metrics["errors_by_code"]) == (2, 1, {"provider-server": 1})
    assert (metrics["input_tokens"], metrics["output_tokens"]) == (3, 5)


async def test_an_upstream_that_does_not_count_leaves_usage_unknown(upstream: Upstream, provider: GenericProvider) -> None:
    upstream.script(Fault("garbage", body={"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}))
    assert (await provider.chat(ASK)).usage == Usage(calls=1)
    assert provider.get_metrics()["unknown_usage"] == 1
    assert provider.get_metrics()["input_tokens"] is None


async def test_a_large_request_arrives_whole(provider: GenericProvider, upstream: Upstream) -> None:
    text = "äöü" * 400_000
    await provider.chat({**ASK, "messages": [{"role": "user", "content": text}]})
    assert upstream.requests[0].body["messages"][0]["content"] == text
