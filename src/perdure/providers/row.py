"""One line of the catalogue: in what an endpoint differs from the wire that all of them speak.

A row holds facts, `fitting.py` acts on them, and neither knows a name: a new endpoint is a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ContextSource", "Refusal", "Row", "Thinking"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a server is told whether to think; each way is merged into the request."""

    on: Mapping[str, Any] | None = None
    """None: it cannot be told to. Empty: it does so by itself."""
    off: Mapping[str, Any] | None = None
    """None: it cannot be told not to."""
    budget: tuple[str, ...] | None = None
    """Where the most tokens of thought are written; None: it takes no such number."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an endpoint does not take, or takes and ignores: refused here, before it is sent."""

    param: str
    why: str
    allowed: tuple[Any, ...] = ()
    """Values that it takes all the same."""


@dataclass(frozen=True, slots=True)
class ContextSource:
    """Where a server says how much fits into a model that it has loaded."""

    path: str
    """Below the server's root, not below `/v1`."""
    rows: str
    """The key of the list."""
    name: str
    size: str


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one endpoint. What is left out is as at OpenAI."""

    name: str
    base_url: str
    dialect: str | None = None
    """Whose error rules are tried first (`rules.py`)."""
    native_tools: bool = True
    include_usage: bool = True
    """Whether it takes `stream_options.include_usage`; one that does not counts without being asked."""
    streams_only: bool = False
    """Asked to stream whatever the caller wants: some models refuse to answer otherwise."""
    key_from: str | None = None
    """The environment variable in which its users keep the key."""
    hosts: tuple[str, ...] = ()
    """Host names besides that of `base_url`; a leading dot means every name below."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """OpenAI's name of a parameter to the endpoint's own."""
    refuses: tuple[Refusal, ...] = ()
    message_refuses: tuple[str, ...] = ()
    """Fields that no message may have."""
    formats: tuple[str, ...] = ("text", "json_object", "json_schema")
    """Kinds of `response_format` that it keeps."""
    choices: tuple[str, ...] = ("auto", "none", "required", "function")
    """Kinds of `tool_choice` that it keeps; `function` is one named tool."""
    developer: bool = False
    """Whether it knows the role `developer`; elsewhere it is called `system`."""
    thinking: Thinking | None = None
    """None: what the caller writes passes as it is."""
    gives_back: str | None = None
    """Under which name a conversation gives it its own reasoning back; None: without reasoning."""
    lists_openly: bool = False
    """Whether it lists its models without looking at the key, so that a list proves nothing."""
    context: ContextSource | None = None
    """It cuts a conversation that does not fit without a word, so its size is looked at before it is sent."""
    embeds_at_once: int = 2048
    """Texts in one request for embeddings."""
    embeds_by_model: Mapping[str, int] = field(default_factory=dict)
    """The same for models (by glob) that take another number."""
