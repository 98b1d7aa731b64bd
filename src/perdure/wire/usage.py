"""Token counts between OpenAI's spelling and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure.resources.usage import Usage

__all__ = ["usage_body", "usage_of"]


def usage_of(counts: Mapping[str, Any] | None) -> Usage:
    """Read the `usage` of an answer.

    Args:
        counts (Mapping[str, Any] | None): As the provider sent it; None if it did not.

    Returns:
        Usage: One call; what was not said, or is no count, is unknown.
    """
    counts = counts if isinstance(counts, Mapping) else {}
    asked, said = _details(counts, "prompt_tokens_details"), _details(counts, "completion_tokens_details")
    return Usage(
        calls=1,
        input_tokens=_count(counts.get("prompt_tokens")),
        output_tokens=_count(counts.get("completion_tokens")),
        cached_tokens=_count(asked.get("cached_tokens")),
        reasoning_tokens=_count(said.get("reasoning_tokens")),
    )


def usage_body(usage: Usage) -> dict[str, Any] | None:
    """Write counts as OpenAI does.

    Args:
        usage (Usage): What is known.

    Returns:
        dict[str, Any] | None: None if neither side was counted, since zero would be a lie.
    """
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    asked, said = usage.input_tokens or 0, usage.output_tokens or 0
    body: dict[str, Any] = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def _details(counts: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = counts.get(field)
    return found if isinstance(found, Mapping) else {}


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and value >= 0 else None
