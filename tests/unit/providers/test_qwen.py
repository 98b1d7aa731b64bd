"""What is truly Qwen's: endpoints by region, thinking, and always a stream upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import AuthenticationFailed, ConfigError, InvalidRequest, RateLimited, StreamCut
from perdure.providers.catalog import ROWS, region_of, row_of
from perdure.providers.errors import Whence
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
    assert endpoint("hk", "w") == "https://w.cn-hongkong.maas.aliyuncs.com/compatible-mode/v1"
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
    await qwen.chat({**ASK, "reasoning_effort": "low"})
    said = [(seen.body.get("enable_thinking"), seen.body.get("thinking_budget")) for seen in upstream.requests]
    assert said == [(True, 100), (False, None), (True, 7), (None, None)]


async def test_nothing_is_switched_unless_it_is_set(upstream: Upstream) -> None:
    plain = QwenProvider(base_url=upstream.base_url)
    await plain.chat(ASK)
    assert "enable_thinking" not in upstream.requests[0].body
    await plain.aclose()


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
JSON = [{"role": "user", "content": "answer in JSON"}]
CLASHING = [
    {"response_format": {"type": "json_object"}, "messages": JSON},
    {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tools": TOOLS, "tool_choice": "required"},
]


@pytest.mark.parametrize("clash", CLASHING)
async def test_thinking_of_ours_gives_way_and_thinking_asked_for_is_refused_by_name(
    qwen: QwenProvider, upstream: Upstream, clash: dict[str, Any]
) -> None:
    await qwen.chat({**ASK, **clash})
    assert upstream.requests[0].body["enable_thinking"] is False
    assert "thinking_budget" not in upstream.requests[0].body
    with pytest.raises(InvalidRequest, match="while thinking"):
        await qwen.chat({**ASK, **clash, "enable_thinking": True})
    with pytest.raises(InvalidRequest, match="while thinking"):
        await qwen.chat({**ASK, **clash, "model": "qwen3-235b-a22b-thinking-2507"})
    assert upstream.count() == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "json_object"}}, "the word JSON"),
    ({"tools": TOOLS, "n": 2}, "more than one answer"),
    ({"tools": [{"type": "function", "function": {"name": "search"}}]}, "`search`"),
    ({"n": 5}, "outside 1 to 4"),
    ({"temperature": 2}, "`temperature`"),
    ({"temperature": -0.1}, "`temperature`"),
    ({"top_p": 0}, "`top_p`"),
    ({"top_p": 1.1}, "`top_p`"),
    ({"seed": -1}, "`seed`"),
    ({"seed": 2**31}, "`seed`"),
    ({"thinking_budget": 0}, "below 1"),
    ({"thinking_budget": 5, "enable_thinking": False}, "without thinking"),
    ({"reasoning_effort": "low", "thinking_budget": 7}, "together with"),
    ({"reasoning_effort": "low", "enable_thinking": True}, "together with"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "the assistant's"),
    ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "4"}]}, "before the assistant's message"),
    ({"model": "qwq-plus", "enable_thinking": False}, "'qwq-plus' without thinking"),
    ({"model": "qwen3-coder-plus", "enable_thinking": True}, "'qwen3-coder-plus' with thinking"),
    ({"model": "qwen2.5-72b-instruct", "thinking_budget": 5}, "with thinking"),
]


@pytest.mark.parametrize(("asked", "what"), REFUSED)
async def test_what_dashscope_would_answer_400_to_is_refused_before_it_is_sent(
    upstream: Upstream, asked: dict[str, Any], what: str
) -> None:
    qwen = QwenProvider(base_url=upstream.base_url)
    with pytest.raises(InvalidRequest, match=what) as caught:
        await qwen.chat({**ASK, **asked})
    assert caught.value.hint
    assert upstream.count() == 0
    await qwen.aclose()


async def test_what_lies_just_inside_the_ranges_is_sent(upstream: Upstream) -> None:
    qwen = QwenProvider(base_url=upstream.base_url)
    result = [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ]
    begun = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "partial": True}]
    inside: list[dict[str, Any]] = [
        {"temperature": 0, "top_p": 1, "seed": 0, "n": 1},
        {"temperature": 1.99, "top_p": 0.01, "seed": 2**31 - 1, "n": 4},
        {"messages": result, "tools": TOOLS},
        {"messages": begun},
        {"response_format": {"type": "json_object"}, "messages": JSON},
        {"thinking_budget": 1, "enable_thinking": True},
    ]
    for asked in inside:
        await qwen.chat({**ASK, **asked})
    assert upstream.count() == len(inside)
    await qwen.aclose()


MINDS = [
    ("qwen-plus", True, True),
    ("qwen3-30b-a3b-thinking-2507", True, None),
    ("qwq-plus", None, None),
    ("qwen3-coder-plus", False, None),
    ("qwen-max", None, None),
]


@pytest.mark.parametrize(("model", "asked", "there"), MINDS)
async def test_a_model_that_cannot_be_switched_is_not_sent_the_switch(
    upstream: Upstream, model: str, asked: bool | None, there: bool | None
) -> None:
    qwen = QwenProvider(base_url=upstream.base_url)
    await qwen.chat({**ASK, "model": model, **({} if asked is None else {"enable_thinking": asked})})
    assert upstream.requests[0].body.get("enable_thinking") is there
    await qwen.aclose()


async def test_the_settings_own_wish_is_kept_to_models_that_can_be_switched(qwen: QwenProvider, upstream: Upstream) -> None:
    for model in ("qwen-max", "qwq-plus", "qwen-plus"):
        await qwen.chat({**ASK, "model": model})
    sent = [(seen.body.get("enable_thinking"), seen.body.get("thinking_budget")) for seen in upstream.requests]
    assert sent == [(None, None), (None, 100), (True, 100)]


OWN = [
    ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
    ("sglang", {"chat_template_kwargs": {"enable_thinking": False}}),
    ("llamacpp", {"chat_template_kwargs": {"enable_thinking": False}}),
    ("ollama", {"reasoning_effort": "none"}),
    ("lmstudio", {"reasoning_effort": "none"}),
]


@pytest.mark.parametrize(("dialect", "there"), OWN)
async def test_a_qwen_of_ones_own_is_switched_in_its_servers_way(upstream: Upstream, dialect: str, there: dict[str, Any]) -> None:
    qwen = QwenProvider(base_url=upstream.base_url, dialect=dialect, enable_thinking=False)
    asked = {**ASK, "model": "Qwen/Qwen3-8B"}
    assert (await qwen.chat(asked)).text
    assert upstream.requests[0].body == {**asked, **there}, "and it is not made to stream"
    await qwen.chat({**ASK, "model": "Qwen/Qwen3-4B-Instruct-2507", "temperature": 2})
    assert not set(there) & set(upstream.requests[1].body), "one that never thinks is told nothing"
    with pytest.raises(InvalidRequest, match="without thinking"):
        await qwen.chat({**ASK, "model": "Qwen/Qwen3-4B-Thinking-2507", "enable_thinking": False})
    await qwen.aclose()


async def test_a_thinker_whose_template_opens_the_tag_thinks_from_the_first_piece_on(upstream: Upstream) -> None:
    """vLLM without a reasoning parser: the content begins in mid-thought and the closing tag stands alone."""
    upstream.reply = lambda _: "so it is\n</think>\n\nfour"
    qwen = QwenProvider(base_url=upstream.base_url, dialect="vllm")
    asked = {**ASK, "model": "Qwen/Qwen3-4B-Thinking-2507"}
    deltas = [choice["delta"] async for chunk in qwen.stream(asked) for choice in chunk["choices"]]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "so it is\n"
    assert "".join(delta.get("content") or "" for delta in deltas) == "four"
    answer = await qwen.chat(asked)
    assert (answer.text, answer.message["reasoning_content"]) == ("four", "so it is")
    await qwen.aclose()


async def test_a_refused_key_at_dashscope_names_the_region_of_the_address() -> None:
    workspace = QwenProvider(region="us", workspace="ws1")
    error = workspace._judged(
        b'{"error":{"code":"invalid_api_key","message":"no"}}', Whence(provider="qwen", dialect="dashscope", status=401)
    )
    assert isinstance(error, AuthenticationFailed)
    assert "region 'us'" in str(error.hint)
    assert region_of("https://coding-intl.dashscope.aliyuncs.com/v1") == "intl, coding plan"
    assert region_of("https://dashscope.aliyuncs.com.evil.example/v1") is None


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
