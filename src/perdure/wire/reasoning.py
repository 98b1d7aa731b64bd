"""One name and one place for reasoning: `reasoning_content`, never inside the content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure.wire.thinking import ThinkSplitter, split_thinking

__all__ = ["ReasoningStream", "with_reasoning_apart"]


def with_reasoning_apart(message: Mapping[str, Any]) -> dict[str, Any]:
    """Move a whole message's reasoning to where ours lies.

    Args:
        message (Mapping[str, Any]): An assistant message of any server.

    Returns:
        dict[str, Any]: With `reasoning_content` if there is any, and content without it.
    """
    found = dict(message)
    spoken = found.pop("reasoning", None)
    if isinstance(spoken, str) and spoken and not found.get("reasoning_content"):
        found["reasoning_content"] = spoken
    content = found.get("content")
    if isinstance(content, str) and "think>" in content and not found.get("reasoning_content"):
        thought, found["content"] = split_thinking(content)
        if thought:
            found["reasoning_content"] = thought
    return found


class ReasoningStream:
    """Does the same for a stream, chunk by chunk.

    Args:
        inside (bool): The prompt's template has opened the tag already, so content begins with reasoning.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._splitters: dict[int, ThinkSplitter] = {}
        self._has_field: set[int] = set()

    def apply(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """Rewrite a chunk.

        Args:
            chunk (dict[str, Any]): As the server sent it.

        Returns:
            dict[str, Any]: With reasoning under `reasoning_content`.
        """
        choices = [self._choice(choice) for choice in chunk.get("choices") or []]
        return {**chunk, "choices": choices}

    def rest(self) -> list[dict[str, Any]]:
        """Give what is still held back when the stream is over.

        Returns:
            list[dict[str, Any]]: Choices for one last chunk; mostly none.
        """
        rest = [(index, *splitter.end()) for index, splitter in self._splitters.items()]
        return [
            {"index": index, "delta": _texts(thought, content), "finish_reason": None}
            for index, thought, content in rest
            if thought or content
        ]

    def _choice(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        index, delta = choice.get("index") or 0, dict(choice.get("delta") or {})
        spoken = delta.pop("reasoning", None)
        if isinstance(spoken, str) and spoken and not delta.get("reasoning_content"):
            delta["reasoning_content"] = spoken
        if delta.get("reasoning_content"):
            self._has_field.add(index)
        content = delta.get("content")
        if index not in self._has_field and (content or choice.get("finish_reason")):
            delta.pop("content", None)
            delta.update(self._split(index, content or "", ended=bool(choice.get("finish_reason"))))
        return {**choice, "index": index, "delta": delta}

    def _split(self, index: int, content: str, *, ended: bool) -> dict[str, str]:
        splitter = self._splitters.setdefault(index, ThinkSplitter(inside=self._inside))
        thought, said = splitter.feed(content)
        if ended:
            late_thought, late_said = splitter.end()
            thought, said = thought + late_thought, said + late_said
        return _texts(thought, said)


def _texts(thought: str, said: str) -> dict[str, str]:
    return {name: text for name, text in (("reasoning_content", thought), ("content", said)) if text}
