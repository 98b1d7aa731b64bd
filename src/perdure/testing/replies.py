"""What a fake model says: deterministic, and of the shape the request asks for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["as_message", "default_reply", "multiplied", "prompt_digest", "smallest", "tag_of", "vector_of", "words"]

_TAG = re.compile(r"\[tag:([^\]]+)\]")


def default_reply(body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer as the request asks: a forced tool call, an instance of its schema, or an echo.

    Args:
        body (Mapping[str, Any]): An OpenAI chat request.

    Returns:
        dict[str, Any]: An assistant message; the same for the same request.
    """
    forced = _forced_tool(body)
    if forced is not None:
        arguments = json.dumps(smallest(forced.get("parameters") or {}))
        return as_message({"tool_calls": [{"name": forced["name"], "arguments": arguments}]})
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return as_message(json.dumps(smallest(wanted["json_schema"].get("schema") or {})))
    if wanted.get("type") == "json_object":
        return as_message("{}")
    return as_message(f"answer to: {_last_text(body)}")


def as_message(reply: str | Mapping[str, Any]) -> dict[str, Any]:
    """Complete what a script says to an assistant message.

    Args:
        reply (str | Mapping[str, Any]): A text, or a message; its tool calls may be short (`name`, `arguments`).

    Returns:
        dict[str, Any]: As OpenAI sends it.
    """
    if isinstance(reply, str):
        return {"role": "assistant", "content": reply}
    message: dict[str, Any] = {"role": "assistant", "content": None, **reply}
    calls = [_as_call(call, at) for at, call in enumerate(message.get("tool_calls") or [])]
    if calls:
        message["tool_calls"] = calls
    return message


def multiplied(answer: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Give as many choices as were asked for, with how probable each word was if that was asked for.

    Args:
        answer (dict[str, Any]): A `chat.completion` with one choice.
        body (Mapping[str, Any]): The request.

    Returns:
        dict[str, Any]: The same with all of them.
    """
    [choice] = answer["choices"]
    if body.get("logprobs"):
        told = str(choice["message"].get("content") or "").split(" ")
        choice = {**choice, "logprobs": {"content": [_logprob(word) for word in told], "refusal": None}}
    return {**answer, "choices": [{**choice, "index": at} for at in range(body.get("n") or 1)]}


def smallest(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Make a small value that a JSON Schema allows.

    Args:
        schema (Mapping[str, Any]): The schema; local `$ref` are followed.
        root (Mapping[str, Any] | None): Where `$ref` start; None for the schema itself.
        depth (int): How deep we are; ends recursive schemas.

    Returns:
        Any: The first of a choice, empty or lowest where nothing is said.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return None if depth > 20 else smallest(_follow(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return smallest(schema[choice][0], root, depth + 1)
    return _by_type(schema, root, depth)


def _by_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        known = schema.get("properties") or {}
        return {name: smallest(known.get(name, {}), root, depth + 1) for name in schema.get("required", list(known))}
    if kind == "array":
        return [smallest(schema.get("items") or {}, root, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind in {"integer", "number"}:
        return schema.get("minimum", 0)
    return {"string": "x" * max(1, schema.get("minLength", 1)), "boolean": False}.get(kind)


def tag_of(body: Mapping[str, Any], header: str | None = None) -> str | None:
    """Find the name a test gave to a request.

    Args:
        body (Mapping[str, Any]): The request.
        header (str | None): Its `x-tag` header.

    Returns:
        str | None: From the header, `metadata.tag`, `user`, or the last `[tag:NAME]` in a message.
    """
    metadata = body.get("metadata") or {}
    marks = [mark for message in body.get("messages") or [] for mark in _TAG.findall(str(message.get("content")))]
    return header or metadata.get("tag") or body.get("user") or (marks[-1] if marks else None)


def prompt_digest(body: Mapping[str, Any]) -> str:
    """Say in a few letters what was asked, so that equal questions are seen to be equal.

    Args:
        body (Mapping[str, Any]): The request.

    Returns:
        str: Sixteen hex digits of its messages.
    """
    text = json.dumps(body.get("messages"), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """Turn a text into a vector: the same for the same text, and of length 1.

    Args:
        text (str): Any text.
        dimensions (int | None): How long; None for 8.

    Returns:
        list[float]: Numbers that mean nothing.
    """
    size = dimensions or 8
    raw = hashlib.shake_128(text.encode("utf-8", "replace")).digest(size)
    length = sum(byte * byte for byte in raw) ** 0.5 or 1.0
    return [byte / length for byte in raw]


def words(text: str) -> int:
    """Count words, which stand for tokens here.

    Args:
        text (str): Any text.

    Returns:
        int: At least 1.
    """
    return max(1, len(text.split()))


def _logprob(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.5, "bytes": list(word.encode("utf-8", "replace")), "top_logprobs": []}


def _as_call(call: Mapping[str, Any], at: int) -> dict[str, Any]:
    if "function" in call:
        return {"id": f"call_{at}", "type": "function", **call}
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call.get("id", f"call_{at}"), "type": "function", "function": {"name": call["name"], "arguments": text}}


def _forced_tool(body: Mapping[str, Any]) -> dict[str, Any] | None:
    tools = [tool["function"] for tool in body.get("tools") or [] if "function" in tool]
    choice = body.get("tool_choice", "auto")
    if not tools or choice in ("auto", "none"):
        return None
    if isinstance(choice, str):
        return dict(tools[0])
    return next((dict(tool) for tool in tools if tool["name"] == choice.get("function", {}).get("name")), None)


def _follow(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _last_text(body: Mapping[str, Any]) -> str:
    for message in reversed(body.get("messages") or []):
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            return content
    return ""
