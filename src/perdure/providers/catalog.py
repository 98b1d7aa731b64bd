"""Endpoints that differ in facts only, as rows.

A row is found by the parsed host name, never by a part of the address, so that a look-alike host gets no
special treatment. A server of one's own has no row of its host: name its `dialect`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from perdure.providers.row import ContextSource, Refusal, Row, Thinking

__all__ = ["QWEN_REGIONS", "ROWS", "region_of", "row_named", "row_of"]


QWEN_REGIONS = {
    "cn": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "intl": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "us": "https://dashscope-us.aliyuncs.com/compatible-mode/v1",
    "hk": "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1",
}
"""Where DashScope answers, by region; keys are bound to one of them."""

_QWEN_PLACES = {
    "dashscope.aliyuncs.com": "cn",
    "dashscope-intl.aliyuncs.com": "intl",
    "dashscope-us.aliyuncs.com": "us",
    "cn-hongkong.dashscope.aliyuncs.com": "hk",
    "coding.dashscope.aliyuncs.com": "cn, coding plan",
    "coding-intl.dashscope.aliyuncs.com": "intl, coding plan",
    ".cn-beijing.maas.aliyuncs.com": "cn",
    ".ap-southeast-1.maas.aliyuncs.com": "intl",
    ".us-east-1.maas.aliyuncs.com": "us",
    ".cn-hongkong.maas.aliyuncs.com": "hk",
}
"""Host, or with a leading dot every name below it, to what keys of it are bound to."""

_ONE = (1,)
_IGNORED = "it would be ignored there"
_TEMPLATE = Thinking(on={"chat_template_kwargs": {"enable_thinking": True}}, off={"chat_template_kwargs": {"enable_thinking": False}})

ROWS: tuple[Row, ...] = (
    Row(
        "openai",
        "https://api.openai.com/v1",
        "openai",
        key_from="OPENAI_API_KEY",
        renamed={"max_tokens": "max_completion_tokens"},
        developer=True,
        thinking=Thinking(on={"reasoning_effort": "medium"}, off={"reasoning_effort": "none"}),
    ),
    Row(
        "qwen",
        QWEN_REGIONS["intl"],
        "dashscope",
        streams_only=True,
        key_from="DASHSCOPE_API_KEY",
        hosts=(*_QWEN_PLACES, ".maas.aliyuncs.com"),
        renamed={"max_completion_tokens": "max_tokens"},
        choices=("auto", "none", "function"),
        thinking=Thinking(on={"enable_thinking": True}, off={"enable_thinking": False}, budget=("thinking_budget",)),
        gives_back="reasoning_content",
        embeds_at_once=10,
        embeds_by_model={"text-embedding-v[12]": 25},
    ),
    Row(
        "anthropic",
        "https://api.anthropic.com/v1",
        "anthropic",
        key_from="ANTHROPIC_API_KEY",
        refuses=(
            Refusal("n", "it gives one answer", _ONE),
            *(
                Refusal(name, _IGNORED)
                for name in (
                    "reasoning_effort", "seed", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty",
                    "prediction", "modalities", "audio",
                )
            ),
        ),
        formats=("text",),
        developer=True,
        thinking=Thinking(
            on={"thinking": {"type": "enabled", "budget_tokens": 4096}}, off={}, budget=("thinking", "budget_tokens")
        ),
    ),
    Row(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini",
        key_from="GEMINI_API_KEY",
        thinking=Thinking(
            on={}, off={"reasoning_effort": "none"}, budget=("extra_body", "google", "thinking_config", "thinking_budget")
        ),
        embeds_at_once=100,
    ),
    Row(
        "deepseek",
        "https://api.deepseek.com/v1",
        "deepseek",
        key_from="DEEPSEEK_API_KEY",
        renamed={"max_completion_tokens": "max_tokens"},
        refuses=(Refusal("n", "it gives one answer", _ONE),),
        formats=("text", "json_object"),
        thinking=Thinking(on={"thinking": {"type": "enabled"}}, off={"thinking": {"type": "disabled"}}),
        gives_back="reasoning_content",
    ),
    Row(
        "groq",
        "https://api.groq.com/openai/v1",
        "groq",
        key_from="GROQ_API_KEY",
        refuses=(
            Refusal("n", "it gives one answer", _ONE),
            *(Refusal(name, "it answers 400") for name in ("logprobs", "top_logprobs", "logit_bias")),
        ),
        message_refuses=("name",),
        thinking=Thinking(on={"reasoning_effort": "default"}, off={"reasoning_effort": "none"}),
    ),
    Row(
        "mistral",
        "https://api.mistral.ai/v1",
        "mistral",
        include_usage=False,
        key_from="MISTRAL_API_KEY",
        renamed={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
        refuses=tuple(Refusal(name, "it answers 422") for name in ("logprobs", "top_logprobs", "logit_bias")),
        thinking=Thinking(),
        embeds_at_once=128,
    ),
    Row(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "openrouter",
        key_from="OPENROUTER_API_KEY",
        lists_openly=True,
        developer=True,
        thinking=Thinking(on={"reasoning": {"enabled": True}}, off={"reasoning": {"effort": "none"}}, budget=("reasoning", "max_tokens")),
        gives_back="reasoning",
    ),
    Row(
        "together",
        "https://api.together.xyz/v1",
        "together",
        key_from="TOGETHER_API_KEY",
        hosts=("api.together.ai",),
        renamed={"max_completion_tokens": "max_tokens"},
        thinking=Thinking(on={"reasoning": {"enabled": True}}, off={"reasoning": {"enabled": False}}),
        gives_back="reasoning",
    ),
    Row("vllm", "http://127.0.0.1:8000/v1", "vllm", thinking=_TEMPLATE, gives_back="reasoning"),
    Row("sglang", "http://127.0.0.1:30000/v1", "sglang", thinking=_TEMPLATE, gives_back="reasoning_content"),
    Row(
        "ollama",
        "http://127.0.0.1:11434/v1",
        "ollama",
        renamed={"max_completion_tokens": "max_tokens"},
        refuses=(Refusal("n", "it gives one answer", _ONE), Refusal("logit_bias", _IGNORED)),
        choices=("auto",),
        thinking=Thinking(on={}, off={"reasoning_effort": "none"}),
        gives_back="reasoning",
        context=ContextSource("/api/ps", rows="models", name="name", size="context_length"),
    ),
    Row(
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        "llamacpp",
        choices=("auto", "none", "required"),
        thinking=_TEMPLATE,
        gives_back="reasoning_content",
    ),
    Row(
        "lmstudio",
        "http://127.0.0.1:1234/v1",
        "lmstudio",
        renamed={"max_completion_tokens": "max_tokens"},
        refuses=(Refusal("n", "it gives one answer", _ONE),),
        formats=("text", "json_schema"),
        choices=("auto", "none", "required"),
        thinking=Thinking(on={}, off={"reasoning_effort": "none"}),
        context=ContextSource("/api/v0/models", rows="data", name="id", size="loaded_context_length"),
    ),
    Row("litellm", "http://127.0.0.1:4000/v1", "litellm", developer=True, gives_back="reasoning_content"),
)  # fmt: skip
"""The endpoints we know. Another gateway or server needs none: an address is enough."""


def row_named(name: str | None) -> Row | None:
    """Find a row by its name, or by the dialect of its errors.

    Args:
        name (str | None): Such as `vllm`; `dashscope` and `qwen` are the same.

    Returns:
        Row | None: None if no row is called so.
    """
    return next((row for row in ROWS if name is not None and name in {row.name, row.dialect}), None)


def row_of(base_url: str) -> Row | None:
    """Find what is known of an address.

    Args:
        base_url (str): Of a provider.

    Returns:
        Row | None: None for a host we do not know, and for this machine, where any server may listen.
    """
    host = _host(base_url)
    return next((row for row in ROWS if _answers_at(row, host)), None)


def region_of(base_url: str) -> str | None:
    """Say to what the keys of a DashScope address are bound.

    Args:
        base_url (str): Of a provider.

    Returns:
        str | None: Such as `intl`; None if the host does not say.
    """
    host = _host(base_url)
    return next((region for known, region in _QWEN_PLACES.items() if _is(host, known)), None)


def _host(base_url: str) -> str:
    return (urlsplit(base_url).hostname or "").lower()


def _answers_at(row: Row, host: str) -> bool:
    own = urlsplit(row.base_url).hostname
    if own == host and own != "127.0.0.1":
        return True
    return any(_is(host, known) for known in row.hosts)


def _is(host: str, known: str) -> bool:
    return host.endswith(known) if known.startswith(".") else host == known
