"""Puts a streamed answer together again.

Facts of the field that this bears: tool calls come in pieces merged by `index`, the first with id and
name, later ones with argument text only and perhaps an empty id; some servers leave `index` out; the
usage comes in a last chunk without choices; reasoning has two names (`reasoning`, `reasoning_content`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure.wire.thinking import split_thinking

__all__ = ["Assembler"]

_TEXTS = ("content", "reasoning_content", "refusal")
_KNOWN = frozenset({"index", "delta", "logprobs", "finish_reason"})


class Assembler:
    """Takes chunks in order and gives the whole answer.

    `finished` is True once every choice that was begun has a reason to have ended; `began` once any
    choice has said anything.
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None

    @property
    def began(self) -> bool:
        """Whether there is content, reasoning, a refusal or a tool call."""
        return any(choice.said for choice in self._choices.values())

    @property
    def finished(self) -> bool:
        """Whether every choice has a `finish_reason`."""
        return bool(self._choices) and all(choice.reason for choice in self._choices.values())

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take the next chunk.

        Args:
            chunk (Mapping[str, Any]): A `chat.completion.chunk`.
        """
        for name, value in chunk.items():
            if name not in {"choices", "usage", "object"} and value is not None:
                self._head.setdefault(name, value)
        if chunk.get("usage"):
            self._usage = dict(chunk["usage"])
        for piece in chunk.get("choices") or []:
            self._choices.setdefault(piece.get("index") or 0, _Choice()).add(piece)

    def finish(self) -> dict[str, Any]:
        """Give the whole answer.

        Returns:
            dict[str, Any]: A `chat.completion` with what has come so far.
        """
        body = {**self._head, "object": "chat.completion"}
        body["choices"] = [self._choices[index].whole(index) for index in sorted(self._choices)]
        if self._usage is not None:
            body["usage"] = self._usage
        return body


class _Choice:
    def __init__(self) -> None:
        self.reason: str | None = None
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._beside: dict[str, Any] = {}
        self._more: dict[str, Any] = {}

    @property
    def said(self) -> bool:
        return bool(self._texts or self._calls or "function_call" in self._more)

    def add(self, piece: Mapping[str, Any]) -> None:
        self.reason = piece.get("finish_reason") or self.reason
        for name, told in (piece.get("logprobs") or {}).items():
            if isinstance(told, list):
                self._logprobs.setdefault(name, []).extend(told)
        self._beside.update({name: value for name, value in piece.items() if name not in _KNOWN and value is not None})
        delta = dict(piece.get("delta") or {})
        spoken = delta.pop("reasoning", None)
        if isinstance(spoken, str) and not delta.get("reasoning_content"):
            delta["reasoning_content"] = spoken
        for name in _TEXTS:
            if text := delta.pop(name, None):
                self._texts.setdefault(name, []).append(text)
        for call in delta.pop("tool_calls", None) or []:
            self._add_call(call)
        if function := delta.pop("function_call", None):
            self._add_function(function)
        delta.pop("role", None)
        self._more.update({name: value for name, value in delta.items() if value is not None})

    def _add_function(self, piece: Mapping[str, Any]) -> None:
        """A call as it was before there were tools."""
        call = self._more.setdefault("function_call", {"name": "", "arguments": ""})
        call["name"] = call["name"] or piece.get("name") or ""
        call["arguments"] += piece.get("arguments") or ""

    def _add_custom(self, call: dict[str, Any], piece: Mapping[str, Any]) -> None:
        call.pop("function", None)
        custom = call.setdefault("custom", {"name": "", "input": ""})
        custom["name"] = custom["name"] or piece.get("name") or ""
        custom["input"] += piece.get("input") or ""

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        call = self._calls.setdefault(self._index(piece), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = call["id"] or piece.get("id") or ""
        if piece.get("type") == "custom" or "custom" in call:
            call["type"] = "custom"
            self._add_custom(call, piece.get("custom") or {})
            return
        function = piece.get("function") or {}
        call["function"]["name"] = call["function"]["name"] or function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def _index(self, piece: Mapping[str, Any]) -> int:
        given = piece.get("index")
        if isinstance(given, int):
            return given
        last = max(self._calls, default=-1)
        names_a_new_one = bool(piece.get("id")) and (last < 0 or self._calls[last]["id"] != piece["id"])
        return last + 1 if names_a_new_one or last < 0 else last

    def whole(self, index: int) -> dict[str, Any]:
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        thought, content = texts.get("reasoning_content", ""), texts.get("content", "")
        if not thought:
            thought, content = split_thinking(content)
        message: dict[str, Any] = {"role": "assistant", **self._more, "content": content or None}
        if not self._calls and not texts.get("refusal"):
            message["content"] = content
        if thought:
            message["reasoning_content"] = thought
        if texts.get("refusal"):
            message["refusal"] = texts["refusal"]
        if self._calls:
            message["tool_calls"] = [self._named(at) for at in sorted(self._calls)]
        return {"index": index, "message": message, "logprobs": self._logprobs or None, "finish_reason": self.reason, **self._beside}

    def _named(self, at: int) -> dict[str, Any]:
        call = self._calls[at]
        return {**call, "id": call["id"] or f"call_{at}"}
