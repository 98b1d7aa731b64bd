"""Endpoints that differ in facts only, as rows.

A row is found by the parsed host name, never by a part of the address, so that a look-alike host gets no
special treatment. A server of one's own has no row of its host: name its `dialect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["QWEN_REGIONS", "ROWS", "Row", "row_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one endpoint."""

    name: str
    base_url: str
    dialect: str | None = None
    """Whose error rules are tried first (`rules.py`)."""
    native_tools: bool = True
    include_usage: bool = True
    """Whether it takes `stream_options.include_usage`."""
    key_from: str | None = None
    """The environment variable in which its users keep the key."""
    hosts: tuple[str, ...] = ()
    """Host names besides that of `base_url`; a leading dot means every name below."""


QWEN_REGIONS = {
    "cn": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "intl": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "us": "https://dashscope-us.aliyuncs.com/compatible-mode/v1",
    "hk": "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1",
}
"""Where DashScope answers, by region; keys are bound to one of them."""

ROWS: tuple[Row, ...] = (
    Row("openai", "https://api.openai.com/v1", "openai", key_from="OPENAI_API_KEY"),
    Row(
        "qwen",
        QWEN_REGIONS["intl"],
        "dashscope",
        key_from="DASHSCOPE_API_KEY",
        hosts=(
            "dashscope.aliyuncs.com",
            "dashscope-us.aliyuncs.com",
            "cn-hongkong.dashscope.aliyuncs.com",
            "coding.dashscope.aliyuncs.com",
            "coding-intl.dashscope.aliyuncs.com",
            ".maas.aliyuncs.com",
        ),
    ),
    Row("anthropic", "https://api.anthropic.com/v1", "anthropic", key_from="ANTHROPIC_API_KEY"),
    Row("deepseek", "https://api.deepseek.com/v1", key_from="DEEPSEEK_API_KEY"),
    Row("groq", "https://api.groq.com/openai/v1", key_from="GROQ_API_KEY"),
    Row("mistral", "https://api.mistral.ai/v1", include_usage=False, key_from="MISTRAL_API_KEY"),
    Row("openrouter", "https://openrouter.ai/api/v1", key_from="OPENROUTER_API_KEY"),
    Row("together", "https://api.together.xyz/v1", key_from="TOGETHER_API_KEY"),
    Row("vllm", "http://127.0.0.1:8000/v1", "vllm"),
    Row("sglang", "http://127.0.0.1:30000/v1", "sglang"),
    Row("ollama", "http://127.0.0.1:11434/v1", "ollama"),
    Row("llamacpp", "http://127.0.0.1:8080/v1", "llamacpp"),
)
"""The endpoints we know. Another gateway or server needs none: an address is enough."""


def row_of(base_url: str) -> Row | None:
    """Find what is known of an address.

    Args:
        base_url (str): Of a provider.

    Returns:
        Row | None: None for a host we do not know, and for this machine, where any server may listen.
    """
    host = (urlsplit(base_url).hostname or "").lower()
    return next((row for row in ROWS if _hosts(row, host)), None)


def _hosts(row: Row, host: str) -> bool:
    own = urlsplit(row.base_url).hostname
    if own == host and own != "127.0.0.1":
        return True
    return any(host.endswith(known) if known.startswith(".") else host == known for known in row.hosts)
