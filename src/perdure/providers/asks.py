"""What a call will use, before it is made: an estimate, and the greatest answer that it allows.

Nobody but the provider counts tokens as it does. Four bytes of UTF-8 are close to one in Latin scripts and in CJK alike; how
far off that is for a lane is learned from its answers (`worker/demand.py`), and what a call really took takes the place of what
was reserved for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Ask"]

_BYTES_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4
_TOKENS_A_PICTURE = 1000
"""Or whatever else is no text."""
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Ask:
    """One call that wants to go through a lane.

    Args:
        body (Mapping[str, Any] | None): An OpenAI chat request; None for one that says nothing.
        usd (float): What it may cost at most; 0 if nobody knows.
        patience_s (float | None): How long it would wait for its start; None for as long as a run waits in its slot.
    """

    __slots__ = ("_body", "_prompt_tokens", "patience_s", "usd")

    def __init__(self, body: Mapping[str, Any] | None = None, *, usd: float = 0.0, patience_s: float | None = None) -> None:
        self._body = body or {}
        self._prompt_tokens: int | None = None
        self.usd: float = usd
        self.patience_s: float | None = patience_s

    @property
    def prompt_tokens(self) -> int:
        """An estimate of what its prompt uses; counted when it is first asked for."""
        if self._prompt_tokens is None:
            self._prompt_tokens = _prompt_tokens(self._body)
        return self._prompt_tokens

    def answer_tokens(self, unsaid: int) -> int:
        """Say what its answers use at most.

        Args:
            unsaid (int): The length of one, where the request does not limit it.

        Returns:
            int: Tokens.
        """
        most = self._body.get("max_completion_tokens") or self._body.get("max_tokens")
        answers = self._body.get("n")
        longest = most if isinstance(most, int) and most > 0 else unsaid
        return longest * (answers if isinstance(answers, int) and answers > 1 else 1)


def _prompt_tokens(body: Mapping[str, Any]) -> int:
    messages = body.get("messages") or []
    spoken = sum(_TOKENS_A_MESSAGE + _weight(message.get("content")) + _weight(message.get("tool_calls")) for message in messages)
    return spoken + _weight(body.get("tools")) + _weight(body.get("response_format"))


def _weight(content: Any) -> int:
    """Rounded up. Of a content in parts, those that are no text count as pictures, however they are written."""
    if content is None:
        return 0
    if isinstance(content, str):
        return -(-len(content.encode("utf-8", "replace")) // _BYTES_A_TOKEN)
    if isinstance(content, list) and all(isinstance(part, Mapping) and "type" in part and "function" not in part for part in content):
        return sum(_weight(part.get("text")) if part["type"] == "text" else _TOKENS_A_PICTURE for part in content)
    return -(-len(_encode(content)) // _BYTES_A_TOKEN)
