"""A response as OpenAI writes it: what was asked is said again, what came is in `output`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

import msgspec

from perdure.errors.base import Category, ErrorFacts

__all__ = ["DeletedResponse", "Response", "ResponseItems", "begun", "error_of", "new_response_id", "usage_said"]

_ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt_cache_key", "safety_identifier", "user",
)  # fmt: skip
_LIMITED = frozenset({Category.RATE_LIMIT, Category.BUDGET, Category.OVERLOADED, Category.CIRCUIT_OPEN})
_ASKED_WRONGLY = frozenset({Category.INPUT, Category.INVALID_REQUEST, Category.CONTEXT_LENGTH, Category.CONTENT_FILTER})


class Response(msgspec.Struct, kw_only=True):
    """What a model answered; what was asked stands beside it."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None


class ResponseItems(msgspec.Struct, kw_only=True):
    """A page of what a response answers."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedResponse(msgspec.Struct, kw_only=True):
    """A response that is no more."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


def new_response_id() -> str:
    """Make an id.

    Returns:
        str: Never used before.
    """
    return f"resp_{uuid4().hex}"


def begun(body: Mapping[str, Any], *, id: str, model: str, at: float) -> dict[str, Any]:
    """Begin a response.

    Args:
        body (Mapping[str, Any]): A request that was checked.
        id (str): What it is called.
        model (str): Who answers.
        at (float): When it was asked.

    Returns:
        dict[str, Any]: With all that OpenAI sends, and nothing answered yet.
    """
    background = bool(body.get("background"))
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    echoed = {name: body.get(name) for name in _ECHOED}
    return {
        "id": id,
        "object": "response",
        "created_at": int(at),
        "status": "queued" if background else "in_progress",
        "background": background,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "service_tier": body.get("service_tier"),
        "store": body.get("store") is not False,
        "temperature": body.get("temperature"),
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [{"description": None, "parameters": None, "strict": None, **tool} for tool in body.get("tools") or []],
        "top_logprobs": body.get("top_logprobs"),
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "metadata": body.get("metadata") or {},
        **echoed,
    }


def usage_said(counts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Say in the words of `responses` what was used.

    Args:
        counts (Mapping[str, Any] | None): As a chat counts.

    Returns:
        dict[str, Any] | None: None where the upstream did not count.
    """
    if not counts:
        return None
    asked, said = _number(counts.get("prompt_tokens")), _number(counts.get("completion_tokens"))
    read, thought = counts.get("prompt_tokens_details") or {}, counts.get("completion_tokens_details") or {}
    return {
        "input_tokens": asked,
        "input_tokens_details": {
            "cached_tokens": _number(read.get("cached_tokens")),
            "cache_write_tokens": _number(read.get("cache_write_tokens")),
        },
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": _number(thought.get("reasoning_tokens"))},
        "total_tokens": _number(counts.get("total_tokens")) or asked + said,
    }


def error_of(error: ErrorFacts) -> dict[str, Any]:
    """Write why a response failed.

    Args:
        error (ErrorFacts): Without secrets.

    Returns:
        dict[str, Any]: One of OpenAI's few codes, and what happened.
    """
    code = "server_error"
    if error.category in _LIMITED:
        code = "rate_limit_exceeded"
    elif error.category in _ASKED_WRONGLY:
        code = "invalid_prompt"
    return {"code": code, "message": error.message if error.hint is None else f"{error.message}. {error.hint}"}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
