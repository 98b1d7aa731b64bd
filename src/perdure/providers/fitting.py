"""Makes a request fit the endpoint it goes to, by the endpoint's row.

What can be said there in other words is said in other words; what cannot be is refused before anything is
sent and nothing has been paid for. Nothing that the caller asked for is left out silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perdure.errors.base import Evidence, InvalidRequest
from perdure.providers.row import Row

__all__ = ["check_shape", "fitted", "refused"]

_REASONING = ("reasoning_content", "reasoning")


def fitted(body: dict[str, Any], row: Row, provider: str) -> dict[str, Any]:
    """Write a request as an endpoint wants it.

    Args:
        body (dict[str, Any]): An OpenAI chat request; `enable_thinking` and `thinking_budget` are understood everywhere.
        row (Row): The endpoint.
        provider (str): For messages.

    Returns:
        dict[str, Any]: What is sent; the caller's is left as it was.

    Raises:
        InvalidRequest: The endpoint cannot do what was asked.
    """
    check_shape(body, provider)
    for what in _unfit(body, row):
        raise refused(provider, what)
    found = _renamed(body, row)
    if found.get("tool_choice") is not None:
        found = _chosen(found, row, provider)
    if row.thinking is not None and ("enable_thinking" in found or "thinking_budget" in found):
        found = _switched(found, row, provider)
    messages = found.get("messages")
    if messages and any(_needs_change(message, row) for message in messages):
        found["messages"] = [_message(message, row) for message in messages]
    return found


def check_shape(body: Mapping[str, Any], provider: str) -> None:
    """Refuse what nobody could read, so that the rules need not ask at every step what they have before them.

    Args:
        body (Mapping[str, Any]): A chat request.
        provider (str): For messages.

    Raises:
        InvalidRequest: Its messages, tools or format are not of the shape that they have at OpenAI.
    """
    for name in ("messages", "tools"):
        rows = body.get(name) or []
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise refused(provider, f"`{name}` that are no list of objects", hint="As at OpenAI.")
    if not isinstance(body.get("response_format") or {}, Mapping):
        raise refused(provider, "a `response_format` that is no object", hint="As at OpenAI.")


def refused(provider: str, what: str, *, hint: str | None = None) -> InvalidRequest:
    """Say that something cannot be asked of a provider.

    Args:
        provider (str): Of whom.
        what (str): What cannot be, as the end of a sentence.
        hint (str | None): What to do instead.

    Returns:
        InvalidRequest: Nothing was sent.
    """
    return InvalidRequest(
        f"{provider!r} cannot be asked for {what}",
        hint=hint or "Leave it out, or ask another provider.",
        evidence=Evidence(provider=provider, rule="not-sent"),
    )


def _unfit(body: Mapping[str, Any], row: Row) -> Iterator[str]:
    for refusal in row.refuses:
        value = body.get(refusal.param)
        if value is not None and value is not False and value not in refusal.allowed:
            yield f"`{refusal.param}`: {refusal.why}"
    kind = (body.get("response_format") or {}).get("type", "text")
    if kind not in row.formats:
        yield f"`response_format` of type {kind!r}: it knows {_listed(row.formats)}"
    for name, new in row.renamed.items():
        if name in body and body.get(new, body[name]) != body[name]:
            yield f"both `{name}` and `{new}`: they are the same there"
    if row.message_refuses:
        for message in body.get("messages") or []:
            for name in row.message_refuses:
                if message.get(name) is not None:
                    yield f"a message with `{name}`"


def _renamed(body: dict[str, Any], row: Row) -> dict[str, Any]:
    if not any(name in body for name in row.renamed):
        return dict(body)
    found = {name: value for name, value in body.items() if name not in row.renamed}
    for name, new in row.renamed.items():
        if name in body:
            found.setdefault(new, body[name])
    return found


def _chosen(body: dict[str, Any], row: Row, provider: str) -> dict[str, Any]:
    """A forced call of the only tool has two spellings; where a tool cannot be named, the others are not offered."""
    choice, tools = body["tool_choice"], body.get("tools") or []
    kind = "function" if isinstance(choice, Mapping) else choice
    if kind in row.choices:
        return body
    if kind == "required" and "function" in row.choices and len(tools) == 1 and _named(tools[0]):
        return {**body, "tool_choice": {"type": "function", "function": {"name": _named(tools[0])}}}
    if kind == "function" and "required" in row.choices:
        return {**body, "tools": [tool for tool in tools if _named(tool) == _named(choice)], "tool_choice": "required"}
    if kind == "none" and "required" not in row.choices:
        return {name: value for name, value in body.items() if name not in {"tools", "tool_choice", "parallel_tool_calls"}}
    raise refused(provider, f"`tool_choice` {kind!r}: it keeps {_listed(row.choices)}")


def _named(tool: Mapping[str, Any]) -> Any:
    return (tool.get("function") or {}).get("name")


def _switched(body: dict[str, Any], row: Row, provider: str) -> dict[str, Any]:
    found = {name: value for name, value in body.items() if name not in {"enable_thinking", "thinking_budget"}}
    wish, budget = body.get("enable_thinking"), body.get("thinking_budget")
    if wish is not None:
        found = _merged(found, _way(wish, row, provider))
    if budget is not None:
        found = _merged(found, _budget(budget, row, provider))
    return found


def _way(wish: bool, row: Row, provider: str) -> Mapping[str, Any]:
    thinking = row.thinking
    way = None if thinking is None else (thinking.on if wish else thinking.off)
    if way is None:
        raise refused(provider, f"`enable_thinking: {str(wish).lower()}`", hint="There the model decides: choose another model.")
    return way


def _budget(tokens: int, row: Row, provider: str) -> Mapping[str, Any]:
    path = None if row.thinking is None else row.thinking.budget
    if path is None:
        raise refused(provider, "a `thinking_budget`", hint="Leave it out, or use `reasoning_effort`.")
    value: Any = tokens
    for name in reversed(path):
        value = {name: value}
    found: Mapping[str, Any] = value
    return found


def _merged(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(body)
    for name, value in more.items():
        old = found.get(name)
        found[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _needs_change(message: Mapping[str, Any], row: Row) -> bool:
    role = message.get("role")
    if role == "developer":
        return not row.developer
    return role == "assistant" and any(name in message for name in _REASONING if name != row.gives_back)


def _message(message: Mapping[str, Any], row: Row) -> Mapping[str, Any]:
    if message.get("role") == "developer" and not row.developer:
        return {**message, "role": "system"}
    spoken = next((message[name] for name in _REASONING if message.get(name)), None)
    if message.get("role") != "assistant" or not any(name in message for name in _REASONING):
        return message
    plain = {name: value for name, value in message.items() if name not in _REASONING}
    return plain if row.gives_back is None or spoken is None else {**plain, row.gives_back: spoken}


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)
