"""What is truly Qwen's: endpoints by region, thinking, and always a stream upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import AuthenticationFailed, ConfigError, InvalidRequest, NotYetBuilt, RateLimited, StreamCut
from perdure.providers.catalog import ROWS, row_of
from perdure.providers.qwen import QwenProvider, endpoint
from perdure.testing.upstream import Fault, Upstream

ASK: dict[str, Any] = {"model": "qwen-plus", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def qwen(upstream: Upstream) -> AsyncIterator[QwenProvider]:
    made = QwenProvider("qwen", base_url=upstream.base_url, enable_thinking=True, thinking_budget=100)
    yield made
    await made.aclose()


def test_each_region_has_its_endpoint() -> None:
    hosts = {region: QwenProvider(region=region).base_url.split("/")[2] for region in ("cn", "intl", "us", "hk")}
    assert hosts == {
        "cn": "dashscope.aliyuncs.com",
        "intl": "dashscope-intl.aliyuncs.com",
        "us": "dashscope-us.aliyuncs.com",
        "hk": "cn-hongkong.dashscope.aliyuncs.com",
    }


def test_a_workspace_has_a_domain_of_its_own() -> None:
    assert endpoint("intl", "ws-1a") == "https://ws-1a.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1"
    assert QwenProvider(region="cn", workspace="w").base_url == "https://w.cn-beijing.maas.aliyuncs.com/compatible-mode/v1"
    with pytest.raises(NotYetBuilt):
        endpoint("hk", "w")
    with pytest.raises(ConfigError):
        endpoint("cn", "evil.example.com/")
    with pytest.raises(ConfigError):
        endpoint("mars")  # type: ignore[arg-type]


def test_hosts_are_matched_whole_and_never_by_a_part() -> None:
    assert row_of("https://x.cn-beijing.maas.aliyuncs.com/compatible-mode/v1").name == "qwen"  # type: ignore[union-attr]
    assert row_of("https://coding.dashscope.aliyuncs.com/v1").dialect == "dashscope"  # type: ignore[union-attr]
    for look_alike in (
        "https://dashscope.aliyuncs.com.evil.example/v1",
        "https://evil.example/dashscope.aliyuncs.com",
        "http://127.0.0.1:8000/v1",
    ):
        assert row_of(look_alike) is None
    assert len({row.name for row in ROWS}) == len(ROWS)


async def test_upstream_is_asked_to_stream_and_the_caller_gets_one_answer(qwen: QwenProvider, upstream: Upstream) -> None:
    upstream.reply = lambda _: {"content": "hello you", "reasoning_content": "a greeting"}
    answer = await qwen.chat(ASK)
    assert (answer.text, answer.message["reasoning_content"], answer.finish_reason) == ("hello you", "a greeting", "stop")
    assert answer.usage.output_tokens == 2
    sent = upstream.requests[0].body
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


async def test_thinking_is_switched_where_the_request_does_not_say(qwen: QwenProvider, upstream: Upstream) -> None:
    await qwen.chat(ASK)
    await qwen.chat({**ASK, "enable_thinking": False})
    await qwen.chat({**ASK, "thinking_budget": 7})
    await qwen.chat({**ASK, "reasoning_effort": "low", "thinking_budget": 7})
    said = [(seen.body.get("enable_thinking"), seen.body.get("thinking_budget")) for seen in upstream.requests]
    assert said == [(True, 100), (False, None), (True, 7), (None, None)]


async def test_nothing_is_switched_unless_it_is_set(upstream: Upstream) -> None:
    plain = QwenProvider(base_url=upstream.base_url)
    await plain.chat(ASK)
    assert "enable_thinking" not in upstream.requests[0].body
    await plain.aclose()


@pytest.mark.parametrize(
    "clash",
    [
        {"response_format": {"type": "json_object"}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": "required"},
    ],
)
async def test_thinking_of_ours_gives_way_and_thinking_asked_for_is_refused_by_name(
    qwen: QwenProvider, upstream: Upstream, clash: dict[str, Any]
) -> None:
    await qwen.chat({**ASK, **clash})
    assert upstream.requests[0].body["enable_thinking"] is False
    assert "thinking_budget" not in upstream.requests[0].body
    with pytest.raises(InvalidRequest, match="while thinking"):
        await qwen.chat({**ASK, **clash, "enable_thinking": True})
    assert upstream.count() == 1


async def test_a_refused_key_asks_for_region_and_plan(upstream: Upstream) -> None:
    upstream.api_key = "right"
    qwen = QwenProvider(base_url=upstream.base_url, api_key="wrong")
    with pytest.raises(AuthenticationFailed) as caught:
        await qwen.check()
    assert "region or plan" in str(caught.value.hint)
    await qwen.aclose()


async def test_an_error_after_200_is_seen_with_the_status_in_its_comment(qwen: QwenProvider, upstream: Upstream) -> None:
    upstream.script(Fault("stream-error", after=0, body={"code": "NeverSeen", "message": "slow"}, comment="HTTP_STATUS/429"))
    with pytest.raises(RateLimited) as caught:
        await qwen.chat(ASK)
    assert caught.value.evidence.status == 429


async def test_a_stream_cut_upstream_is_no_answer(qwen: QwenProvider, upstream: Upstream) -> None:
    upstream.script(Fault("cut", after=3))
    with pytest.raises(StreamCut):
        await qwen.chat(ASK)


async def test_a_region_without_a_list_of_models_is_asked_for_one_token(upstream: Upstream) -> None:
    base = upstream.base_url
    qwen = QwenProvider(base_url=base, models=["qwen-plus"])
    upstream.models_status = 404
    await qwen.check()
    assert upstream.requests[0].body["max_tokens"] == 1
    await qwen.aclose()


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        QwenProvider(thinking_budget=0)
