"""Chats on the wire of OpenAI's `responses`, which can go on in the background: the same request, the same answer, other words.

Only what both wires can say is translated. A request that asks for more (several choices, log probabilities, stop words,
sound) stays on the wire of chats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perdure.wire.answers import completion

__all__ = ["as_completion", "as_response_request", "can_be_said"]

_SAME = frozenset(
    {"model", "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier", "prompt_cache_key", "metadata", "service_tier"}
)
_TRANSLATED = frozenset(
    {"messages", "tools", "tool_choice", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort", "verbosity"}
)
_TRAVEL = frozenset({"stream", "stream_options", "store"})
_PARTS = frozenset({"text", "image_url"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def can_be_said(body: Mapping[str, Any]) -> bool:
    """Tell whether a chat request says nothing that `responses` cannot say.

    Args:
        body (Mapping[str, Any]): An OpenAI chat request.

    Returns:
        bool: False: it has to be sent as a chat.
    """
    if not body.keys() <= _SAME | _TRANSLATED | _TRAVEL:
        return False
    if any("function" not in tool for tool in body.get("tools") or []):
        return False
    return all(_sayable(message) for message in body.get("messages") or [])


def as_response_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Say a chat request in the words of `responses`, to go on in the background.

    Args:
        body (Mapping[str, Any]): A chat request that `can_be_said`.

    Returns:
        dict[str, Any]: To be posted.
    """
    request: dict[str, Any] = {name: body[name] for name in body if name in _SAME}
    request["input"] = [item for message in body["messages"] for item in _items(message)]
    if body.get("tools"):
        request["tools"] = [{"type": "function", **tool["function"]} for tool in body["tools"]]
    if (choice := body.get("tool_choice")) is not None:
        request["tool_choice"] = choice if isinstance(choice, str) else {"type": "function", "name": choice["function"]["name"]}
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    if most is not None:
        request["max_output_tokens"] = most
    if body.get("reasoning_effort") is not None:
        request["reasoning"] = {"effort": body["reasoning_effort"]}
    text = _text(body)
    return request | ({"text": text} if text else {}) | {"background": True, "store": True}


def as_completion(response: Mapping[str, Any]) -> dict[str, Any]:
    """Say the answer of a response as a chat completion.

    Args:
        response (Mapping[str, Any]): Completed or incomplete.

    Returns:
        dict[str, Any]: A `chat.completion`.
    """
    output = [item for item in response.get("output") or [] if isinstance(item, Mapping)]
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or []]
    message: dict[str, Any] = {"role": "assistant", "content": _joined(parts, "output_text", "text") or None}
    if refusal := _joined(parts, "refusal", "refusal"):
        message["refusal"] = refusal
    if thought := _joined(
        (part for item in output if item.get("type") == "reasoning" for part in item.get("summary") or []), "summary_text", "text"
    ):
        message["reasoning_content"] = thought
    calls = [_call(item) for item in output if item.get("type") == "function_call"]
    if calls:
        message["tool_calls"] = calls
    return completion(
        model=str(response.get("model")),
        message=message,
        finish_reason=_reason(response, calls),
        usage=_usage(response.get("usage")),
        id=str(response.get("id")),
    )


def _sayable(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return message.get("role") in _ROLES and "audio" not in message and all(part.get("type") in _PARTS for part in parts)


def _items(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        return [{"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": _plain(content)}]
    said = [] if content in (None, "") else [{"role": role, "content": _plain(content) if role == "assistant" else _content(content)}]
    calls = [
        {"type": "function_call", "call_id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in message.get("tool_calls") or []
    ]
    return [*said, *calls]


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"type": "input_text", "text": part["text"]}
        if part["type"] == "text"
        else {"type": "input_image", "image_url": part["image_url"]["url"], "detail": part["image_url"].get("detail", "auto")}
        for part in content
    ]


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return "" if content is None else str(content)


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    wanted = body.get("response_format") or {}
    text: dict[str, Any] = {}
    if wanted.get("type") == "json_schema":
        text["format"] = {"type": "json_schema", **wanted["json_schema"]}
    elif wanted:
        text["format"] = {"type": wanted.get("type")}
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    return text


def _joined(parts: Iterable[Any], kind: str, field: str) -> str:
    return "".join(str(part.get(field) or "") for part in parts if isinstance(part, Mapping) and part.get("type") == kind)


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": item.get("call_id") or item.get("id"), "type": "function", "function": function}


def _reason(response: Mapping[str, Any], calls: list[dict[str, Any]]) -> str:
    why = (response.get("incomplete_details") or {}).get("reason")
    if why == "max_output_tokens":
        return "length"
    return "content_filter" if why == "content_filter" else "tool_calls" if calls else "stop"


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details") or {},
        "completion_tokens_details": usage.get("output_tokens_details") or {},
    }
