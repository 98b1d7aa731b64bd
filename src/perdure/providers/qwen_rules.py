"""What cannot be asked of Qwen, as a table: found before anything is sent.

DashScope answers each of these with a 400 of its own wording, some only for some models, one (a tool called
`search`) with a wrong answer. Said here, the reason has one wording and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DASHSCOPE", "EVERYWHERE", "Clash"]

_SEED_END = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Clash:
    """What cannot be; `found` looks for it in a request as it would be sent."""

    what: str
    """The end of the sentence: «cannot be asked for …»."""
    found: Callable[[Mapping[str, Any]], bool]
    hint: str


def _thinks(body: Mapping[str, Any]) -> bool:
    return body.get("enable_thinking") is True


def _format(body: Mapping[str, Any]) -> str | None:
    kind: str | None = (body.get("response_format") or {}).get("type")
    return kind


def _forces(body: Mapping[str, Any]) -> bool:
    choice = body.get("tool_choice")
    return choice == "required" or isinstance(choice, Mapping)


def _says_json(body: Mapping[str, Any]) -> bool:
    return any("json" in str(message.get("content")).lower() for message in body.get("messages") or [])


def _names_a_tool_search(body: Mapping[str, Any]) -> bool:
    return any((tool.get("function") or {}).get("name") == "search" for tool in body.get("tools") or [])


def _outside(body: Mapping[str, Any], name: str, fits: Callable[[Any], bool]) -> bool:
    value = body.get(name)
    return value is not None and not (isinstance(value, int | float) and fits(value))


def _ends_without_the_user(body: Mapping[str, Any]) -> bool:
    last = (body.get("messages") or [{}])[-1]
    return last.get("role") == "assistant" and not last.get("partial")


def _orphaned_result(body: Mapping[str, Any]) -> bool:
    called: set[Any] = set()
    for message in body.get("messages") or []:
        called.update(call.get("id") for call in message.get("tool_calls") or [])
        if message.get("role") == "tool" and message.get("tool_call_id") not in called:
            return True
    return False


EVERYWHERE: tuple[Clash, ...] = (
    Clash(
        "`thinking_budget` without thinking",
        lambda body: body.get("thinking_budget") is not None and body.get("enable_thinking") is False,
        "Leave the budget out, or send `enable_thinking: true`.",
    ),
    Clash(
        "a `thinking_budget` below 1",
        lambda body: _outside(body, "thinking_budget", lambda tokens: tokens >= 1),
        "To switch thinking off, send `enable_thinking: false`.",
    ),
    Clash(
        "`reasoning_effort` together with `enable_thinking` or `thinking_budget`",
        lambda body: (
            body.get("reasoning_effort") is not None and (body.get("enable_thinking"), body.get("thinking_budget")) != (None, None)
        ),
        "One of them says how much it thinks.",
    ),
)
"""Of a Qwen wherever it runs."""

DASHSCOPE: tuple[Clash, ...] = (
    *EVERYWHERE,
    Clash(
        "`response_format: json_object` while thinking",
        lambda body: _thinks(body) and _format(body) == "json_object",
        "Send `enable_thinking: false`.",
    ),
    Clash("a forced `tool_choice` while thinking", lambda body: _thinks(body) and _forces(body), "Send `enable_thinking: false`."),
    Clash(
        "`response_format: json_object` when no message has the word JSON",
        lambda body: _format(body) == "json_object" and not _says_json(body),
        "Say in the prompt that JSON is wanted, or send a `json_schema`.",
    ),
    Clash(
        "more than one answer (`n`) with tools",
        lambda body: bool(body.get("tools")) and body.get("n") not in (None, 1),
        "Send `n: 1`, or ask several times.",
    ),
    Clash("a tool called `search`", _names_a_tool_search, "That name is taken there: call it `web_search` or the like."),
    Clash("an `n` outside 1 to 4", lambda body: _outside(body, "n", lambda n: 1 <= n <= 4), "Ask several times."),
    Clash(
        "a `temperature` outside 0 to below 2",
        lambda body: _outside(body, "temperature", lambda heat: 0 <= heat < 2),
        "The highest is just below 2, such as 1.99.",
    ),
    Clash("a `top_p` outside above 0 to 1", lambda body: _outside(body, "top_p", lambda share: 0 < share <= 1), "The lowest is above 0."),
    Clash(
        f"a `seed` outside 0 to {_SEED_END}",
        lambda body: _outside(body, "seed", lambda seed: 0 <= seed <= _SEED_END),
        "Take its remainder.",
    ),
    Clash(
        "a conversation whose last message is the assistant's",
        _ends_without_the_user,
        "End it with the user's, or mark the last with `partial: true` to have it continued.",
    ),
    Clash(
        "a tool's answer before the assistant's message that called the tool",
        _orphaned_result,
        "Send the message with `tool_calls` first.",
    ),
)
"""Of Qwen at DashScope."""
