"""Answers made whole: what every client of OpenAI relies on is there, and what else the upstream said stays.

Servers leave out what they think nobody reads: an id, the time, the role of the first piece, a total of tokens; some count
in the last piece of content, some in every piece. Here each becomes what OpenAI would have sent. Nothing is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from perdure.clock import now

__all__ = ["Chunks", "complete_answer", "complete_text", "complete_usage"]

_REASONS = {"model_length": "length", "max_tokens": "length", "eos": "stop", "end_turn": "stop", "stop_sequence": "stop"}


def complete_answer(body: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """Make a `chat.completion` whole.

    Args:
        body (Mapping[str, Any]): As the upstream sent it.
        model (str): Who was asked, for who does not say.

    Returns:
        dict[str, Any]: With all that OpenAI sends.
    """
    choices = [_choice(choice, at) for at, choice in enumerate(body.get("choices") or [])]
    return {**_head(body, "chatcmpl-", "chat.completion", model), "choices": choices, **_counted(body)}


def complete_text(body: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """Make a `text_completion` whole.

    Args:
        body (Mapping[str, Any]): As the upstream sent it.
        model (str): Who was asked, for who does not say.

    Returns:
        dict[str, Any]: With all that OpenAI sends.
    """
    choices = [{"text": "", "index": at, "logprobs": None, **_reason(choice)} for at, choice in enumerate(body.get("choices") or [])]
    return {**_head(body, "cmpl-", "text_completion", model), "choices": choices, **_counted(body)}


def complete_usage(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Add up what was not added up.

    Args:
        counts (Mapping[str, Any]): As the upstream counted.

    Returns:
        dict[str, Any]: With a total, where both sides are known.
    """
    asked, said = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if isinstance(counts.get("total_tokens"), int) or not isinstance(asked, int) or not isinstance(said, int):
        return dict(counts)
    return {**counts, "total_tokens": asked + said}


class Chunks:
    """Makes the pieces of one streamed answer whole, in their order.

    Args:
        model (str): Who was asked, for who does not say.
        usage (bool): Whether the caller wants the tokens counted, in a last piece without choices.
        running (bool): Whether the caller has asked for a count in every piece; then those are left as they are.
        text (bool): Whether it is a `text_completion`.
    """

    def __init__(self, *, model: str, usage: bool, running: bool = False, text: bool = False) -> None:
        self._wants_usage, self._running, self._text = usage, running, text
        self._head: dict[str, Any] = {
            "id": f"{'cmpl' if text else 'chatcmpl'}-{uuid4().hex}",
            "object": "text_completion" if text else "chat.completion.chunk",
            "created": int(now()),
            "model": model,
        }
        self._begun: set[int] = set()
        self.counts: Mapping[str, Any] | None = None
        """What the upstream has counted so far."""

    def take(self, chunk: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take the next piece.

        Args:
            chunk (Mapping[str, Any]): As the upstream sent it.

        Returns:
            dict[str, Any] | None: What the caller is sent; None if it only counted.
        """
        if not self._begun:
            self._head.update({name: chunk[name] for name in ("id", "created", "model") if chunk.get(name)})
        if chunk.get("usage"):
            self.counts = chunk["usage"]
        choices = chunk.get("choices")
        if not choices:
            return None
        found = {**chunk, **self._head, "choices": [self._choice(choice) for choice in choices]}
        if not self._running:
            found.pop("usage", None)
            if self._wants_usage:
                found["usage"] = None
        return found

    def last(self) -> dict[str, Any] | None:
        """Give the piece that counts, when the stream is over.

        Returns:
            dict[str, Any] | None: None if it is not wanted, or nobody has counted: no number is better than a made-up one.
        """
        if not self._wants_usage or self.counts is None:
            return None
        return {**self._head, "choices": [], "usage": complete_usage(self.counts)}

    def _choice(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        index = choice.get("index") or 0
        found = {"index": index, **_reason(choice)}
        if self._text:
            self._begun.add(index)
            return {"text": "", "logprobs": None, **found}
        delta = choice.get("delta") or {}
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", **delta} if not delta.get("role") else delta
        return {**found, "delta": delta}


def _head(body: Mapping[str, Any], prefix: str, kind: str, model: str) -> dict[str, Any]:
    given = {"id": body.get("id") or f"{prefix}{uuid4().hex}", "created": body.get("created") or int(now())}
    return {**body, **given, "object": kind, "model": body.get("model") or model}


def _counted(body: Mapping[str, Any]) -> dict[str, Any]:
    counts = body.get("usage")
    return {"usage": complete_usage(counts)} if isinstance(counts, Mapping) else {}


def _choice(choice: Mapping[str, Any], at: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None, **(choice.get("message") or {})}
    found = {"index": at, "logprobs": None, **_reason(choice), "message": message}
    if not found["finish_reason"]:
        found["finish_reason"] = "tool_calls" if message.get("tool_calls") else "stop"
    return found


def _reason(choice: Mapping[str, Any]) -> dict[str, Any]:
    reason = choice.get("finish_reason")
    return {**choice, "finish_reason": _REASONS.get(reason, reason) if isinstance(reason, str) else None}
