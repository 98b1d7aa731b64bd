"""A request is written as each endpoint wants it, by its row; what cannot be said there is refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors.base import Billed, InvalidRequest
from perdure.providers.catalog import ROWS, row_named, row_of
from perdure.providers.fitting import fitted
from perdure.providers.generic import GenericProvider
from perdure.providers.qwen import QwenProvider
from perdure.providers.row import Row
from perdure.testing.upstream import Upstream

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("find", "look")]
NAMED = {"type": "function", "function": {"name": "look"}}


def row(name: str) -> Row:
    found = row_named(name)
    assert found is not None
    return found


def sent(name: str, **more: Any) -> dict[str, Any]:
    """What of a request is new or other than it was."""
    asked = {**ASK, **more}
    return {key: value for key, value in fitted(asked, row(name), name).items() if ASK.get(key) != value}


@pytest.mark.parametrize("one", ROWS, ids=lambda one: one.name)
def test_a_plain_request_goes_to_everybody_as_it_is(one: Row) -> None:
    plain = {**ASK, "temperature": 0.5, "stop": ["x"], "tools": TOOLS, "tool_choice": "auto", "user": "u"}
    assert fitted(plain, one, one.name) == plain


@pytest.mark.parametrize("one", ROWS, ids=lambda one: one.name)
def test_the_callers_request_is_left_as_it_was(one: Row) -> None:
    asked = {**ASK, "max_tokens": 5, "messages": [{"role": "developer", "content": "be brief"}, *ASK["messages"]]}
    before = repr(asked)
    fitted(asked, one, one.name)
    assert repr(asked) == before


LIMITS = [
    ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("openai", {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ("deepseek", {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ("qwen", {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ("mistral", {"seed": 7, "max_completion_tokens": 5}, {"random_seed": 7, "max_tokens": 5}),
    ("vllm", {"seed": 7, "max_tokens": 5}, {"seed": 7, "max_tokens": 5}),
    ("openai", {"max_tokens": 5, "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
]


@pytest.mark.parametrize(("name", "asked", "there"), LIMITS)
def test_a_parameter_goes_under_the_name_it_has_there(name: str, asked: dict[str, Any], there: dict[str, Any]) -> None:
    assert sent(name, **asked) == there


def test_two_limits_that_are_one_there_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="both `max_tokens` and `max_completion_tokens`"):
        sent("openai", max_tokens=5, max_completion_tokens=6)


THOUGHTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("qwen", {"enable_thinking": True, "thinking_budget": 9}, {"enable_thinking": True, "thinking_budget": 9}),
    ("vllm", {"enable_thinking": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ("vllm", {"enable_thinking": True, "chat_template_kwargs": {"x": 1}}, {"chat_template_kwargs": {"x": 1, "enable_thinking": True}}),
    ("sglang", {"enable_thinking": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ("llamacpp", {"enable_thinking": False}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ("ollama", {"enable_thinking": False}, {"reasoning_effort": "none"}),
    ("ollama", {"enable_thinking": True}, {}),
    ("lmstudio", {"enable_thinking": False}, {"reasoning_effort": "none"}),
    ("deepseek", {"enable_thinking": False}, {"thinking": {"type": "disabled"}}),
    ("openrouter", {"enable_thinking": True, "thinking_budget": 9}, {"reasoning": {"enabled": True, "max_tokens": 9}}),
    ("together", {"enable_thinking": False}, {"reasoning": {"enabled": False}}),
    ("groq", {"enable_thinking": False}, {"reasoning_effort": "none"}),
    ("openai", {"enable_thinking": False}, {"reasoning_effort": "none"}),
    ("anthropic", {"enable_thinking": False}, {}),
    ("anthropic", {"enable_thinking": True, "thinking_budget": 9}, {"thinking": {"type": "enabled", "budget_tokens": 9}}),
    ("gemini", {"thinking_budget": 9}, {"extra_body": {"google": {"thinking_config": {"thinking_budget": 9}}}}),
    ("litellm", {"enable_thinking": True}, {"enable_thinking": True}),
]


@pytest.mark.parametrize(("name", "asked", "there"), THOUGHTS)
def test_thinking_is_switched_in_the_servers_own_way(name: str, asked: dict[str, Any], there: dict[str, Any]) -> None:
    assert sent(name, **asked) == there


IMPOSSIBLE: list[tuple[str, dict[str, Any], str]] = [
    ("mistral", {"enable_thinking": False}, "enable_thinking: false"),
    ("vllm", {"thinking_budget": 9}, "thinking_budget"),
    ("anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
    ("anthropic", {"seed": 0}, "seed"),
    ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "json_schema"),
    ("lmstudio", {"response_format": {"type": "json_object"}}, "json_object"),
    ("groq", {"n": 2}, "`n`"),
    ("groq", {"logprobs": True}, "logprobs"),
    ("groq", {"messages": [{"role": "user", "content": "hi", "name": "ann"}]}, "`name`"),
    ("ollama", {"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
    ("qwen", {"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
]


@pytest.mark.parametrize(("name", "asked", "what"), IMPOSSIBLE)
def test_what_cannot_be_is_refused_by_name_and_costs_nothing(name: str, asked: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidRequest, match=what) as caught:
        sent(name, **asked)
    assert (caught.value.billed, caught.value.retryable, caught.value.evidence.rule) == (Billed.NO, False, "not-sent")
    assert caught.value.hint


@pytest.mark.parametrize("asked", [{"n": 1}, {"logprobs": False}, {"logit_bias": None}])
def test_asking_for_what_it_does_anyway_is_no_asking(asked: dict[str, Any]) -> None:
    fitted({**ASK, **asked}, row("groq"), "groq")


def test_the_only_tool_can_be_forced_in_either_spelling() -> None:
    assert sent("qwen", tools=TOOLS[1:], tool_choice="required")["tool_choice"] == NAMED
    there = sent("llamacpp", tools=TOOLS, tool_choice=NAMED)
    assert (there["tool_choice"], there["tools"]) == ("required", TOOLS[1:])
    assert sent("ollama", tools=TOOLS, tool_choice="none") == {}


SHAPELESS: list[dict[str, Any]] = [
    {"messages": "hi"}, {"messages": ["hi"]}, {"tools": {"name": "f"}}, {"tools": ["f"]}, {"response_format": "json"},
]  # fmt: skip


@pytest.mark.parametrize("asked", SHAPELESS)
@pytest.mark.parametrize("name", ["openai", "qwen", "groq"])
async def test_what_has_no_shape_is_refused_and_breaks_nothing(upstream: Upstream, name: str, asked: dict[str, Any]) -> None:
    kind = QwenProvider if name == "qwen" else GenericProvider
    provider = kind("mine", base_url=upstream.base_url, dialect=name)
    with pytest.raises(InvalidRequest):
        await provider.chat({**ASK, **asked})
    assert upstream.count() == 0
    await provider.aclose()


def test_a_tool_of_another_kind_cannot_be_forced_by_name() -> None:
    with pytest.raises(InvalidRequest):
        sent("qwen", tools=[{"type": "custom", "custom": {"name": "f"}}], tool_choice="required")


def test_a_developer_is_called_system_where_nobody_knows_one() -> None:
    messages = [{"role": "developer", "content": "be brief"}]
    assert sent("vllm", messages=messages)["messages"] == [{"role": "system", "content": "be brief"}]
    assert sent("openai", messages=messages)["messages"] == messages


def test_reasoning_goes_back_under_the_name_the_server_uses() -> None:
    said = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
    back = {one.name: fitted({**ASK, "messages": [said]}, one, one.name)["messages"][0] for one in ROWS}
    assert back["vllm"] == {"role": "assistant", "content": "4", "reasoning": "2 and 2"}
    assert back["deepseek"] == said
    assert back["openai"] == {"role": "assistant", "content": "4"}
    assert fitted({**ASK, "messages": [back["vllm"]]}, row("deepseek"), "d")["messages"] == [said]


async def test_a_refused_request_never_reaches_the_server(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url, dialect="groq")
    with pytest.raises(InvalidRequest, match="'mine' cannot be asked for"):
        await provider.chat({**ASK, "n": 3})
    assert upstream.count() == 0
    await provider.aclose()


async def test_to_a_stranger_everything_goes_as_it_came(upstream: Upstream) -> None:
    provider = GenericProvider("mine", base_url=upstream.base_url)
    asked = {**ASK, "n": 3, "max_tokens": 5, "enable_thinking": False, "messages": [{"role": "developer", "content": "x", "name": "n"}]}
    await provider.chat(asked)
    assert upstream.requests[0].body == asked
    await provider.aclose()


async def test_images_and_files_pass_through(upstream: Upstream) -> None:
    parts = [
        {"type": "text", "text": "what is it"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    for dialect in (None, "qwen", "vllm", "openai"):
        provider = GenericProvider("mine", base_url=upstream.base_url, dialect=dialect)
        await provider.chat({**ASK, "messages": [{"role": "user", "content": parts}]})
        assert upstream.requests[-1].body["messages"][0]["content"] == parts
        await provider.aclose()


def test_every_row_is_found_by_its_name_and_its_host() -> None:
    assert [row_named(one.name) for one in ROWS] == list(ROWS)
    hosted = [one for one in ROWS if "127.0.0.1" not in one.base_url]
    assert [row_of(one.base_url) for one in hosted] == hosted
    assert row_named("nobody") is None
    assert row_named(None) is None
