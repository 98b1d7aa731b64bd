"""The items of a conversation on the wire of `responses`: what each says in a chat, and how it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from perdure.wire.requests import wrong

__all__ = ["as_messages", "items_of", "shown"]

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_PREFIX = {"message": "msg_", "function_call": "fc_", "function_call_output": "fco_", "reasoning": "rs_"}
_THERE = "is of a tool that runs at OpenAI, and cannot be said in a chat. Leave it out, or say what it found as text"


def items_of(input: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write what was asked as items.

    Args:
        input (str | list[dict[str, Any]]): A text, or items.

    Returns:
        list[dict[str, Any]]: Items.
    """
    return [{"type": "message", "role": "user", "content": input}] if isinstance(input, str) else input


def shown(item: Mapping[str, Any], owner: str, at: int) -> dict[str, Any]:
    """Show an item as OpenAI does: with an id, a status, and its content in parts.

    Args:
        item (Mapping[str, Any]): As it was asked.
        owner (str): The response it belongs to.
        at (int): Where it stands among its items.

    Returns:
        dict[str, Any]: The same item, always with the same id.
    """
    kind = item.get("type") or "message"
    mark = hashlib.sha256(f"{owner}:{at}".encode()).hexdigest()[:32]
    found = {**item, "type": kind, "id": item.get("id") or f"{_PREFIX.get(kind, 'item_')}{mark}"}
    if kind == "reasoning":
        return {"summary": [], **found}
    found["status"] = item.get("status") or "completed"
    if kind == "message":
        says = item.get("role") == "assistant"
        content = item.get("content")
        parts = [{"type": "output_text" if says else "input_text", "text": content}] if isinstance(content, str) else content or []
        found["content"] = [_shown_part(part) for part in parts]
    return found


def _shown_part(part: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, dict[str, Any]] = {"output_text": {"annotations": []}, "input_image": {"detail": "auto"}}
    return {**defaults.get(part["type"], {}), **part}


def as_messages(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say items as the messages of a chat.

    Args:
        items (Iterable[Mapping[str, Any]]): In their order.

    Returns:
        list[dict[str, Any]]: Messages.

    Raises:
        InvalidInput: One cannot be said, or is none.
    """
    chat = _Chat()
    for at, item in enumerate(items):
        kind = item.get("type") or "message"
        take = _TAKE.get(kind) if isinstance(kind, str) else None
        if take is None:
            raise wrong(f"input[{at}].type", f"{str(kind)[:60]!r} {_THERE}")
        take(chat, item, f"input[{at}]")
    if not chat.messages:
        raise wrong("input", "says nothing")
    return chat.messages


class _Chat:
    """Messages so far; calls and reasoning join the assistant's message they belong to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._thought: list[str] = []

    def message(self, item: Mapping[str, Any], place: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise wrong(f"{place}.role", f"{str(role)[:60]!r} is none of 'system', 'developer', 'user', 'assistant'")
        content = _content(item.get("content"), f"{place}.content")
        if role != "assistant":
            self.messages.append({"role": role, "content": content})
            return
        refusals, texts = _refused(content)
        self.messages.append(self._thinking({"role": role, "content": _joined(texts)} | ({"refusal": refusals} if refusals else {})))

    def call(self, item: Mapping[str, Any], place: str) -> None:
        fields = {name: item.get(name) for name in ("call_id", "name", "arguments")}
        for name, value in fields.items():
            if not isinstance(value, str) or (not value and name != "arguments"):
                raise wrong(f"{place}.{name}", "required")
        last = self.messages[-1] if self.messages else {}
        if last.get("role") != "assistant" or self._thought:
            self.messages.append(last := self._thinking({"role": "assistant", "content": None}))
        function = {"name": fields["name"], "arguments": fields["arguments"]}
        last.setdefault("tool_calls", []).append({"id": fields["call_id"], "type": "function", "function": function})

    def output(self, item: Mapping[str, Any], place: str) -> None:
        if not isinstance(item.get("call_id"), str):
            raise wrong(f"{place}.call_id", "required")
        said = item.get("output")
        content = said if isinstance(said, str) else _joined(_content(said, f"{place}.output"))
        if not isinstance(content, str):
            raise wrong(f"{place}.output", "only text can be the answer of a tool in a chat")
        self.messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})

    def reasoning(self, item: Mapping[str, Any], place: str) -> None:
        if item.get("encrypted_content"):
            raise wrong(f"{place}.encrypted_content", "only OpenAI can read it. Leave it out")
        parts = item.get("content") or item.get("summary") or []
        if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
            raise wrong(f"{place}.content", "must be a list of parts")
        self._thought += [part["text"] for part in parts if isinstance(part.get("text"), str) and part["text"]]

    def _thinking(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._thought:
            message["reasoning_content"] = "\n\n".join(self._thought)
            self._thought = []
        return message


_TAKE = {"message": _Chat.message, "function_call": _Chat.call, "function_call_output": _Chat.output, "reasoning": _Chat.reasoning}


def _content(content: Any, place: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise wrong(place, "must be a text or a list of parts")
    return [_part(part, f"{place}[{at}]") for at, part in enumerate(content)]


def _part(part: Any, place: str) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        raise wrong(place, "must be an object with a `type`")
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {} if part.get("detail") in (None, "auto") else {"detail": part["detail"]}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        return {"type": "file", "file": {name: part[name] for name in ("filename", "file_data") if part.get(name)}}
    if kind == "input_audio" and isinstance(part.get("input_audio"), Mapping):
        return {"type": "input_audio", "input_audio": dict(part["input_audio"])}
    raise wrong(
        f"{place}.type", f"a part of type {str(kind)[:60]!r} like this cannot be said in a chat. Send the text, picture or file itself"
    )


def _refused(content: str | list[dict[str, Any]]) -> tuple[str, Any]:
    if isinstance(content, str):
        return "", content
    return "".join(part["refusal"] for part in content if "refusal" in part), [part for part in content if "refusal" not in part]


def _joined(content: Any) -> Any:
    """Plain text where there is nothing else, which every upstream understands."""
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return content
