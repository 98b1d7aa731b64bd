"""Keeps what a model thinks apart from what it says, where the server does not.

Reasoning models write `<think>…</think>` before their answer. A server with a reasoning parser sends it
as a field of its own; others leave it in the content, and a stream may cut the tags anywhere:

    START ──"<think>"──▶ INSIDE ──"</think>"──▶ AFTER ──first letter──▶ TEXT
      │└───────────── "</think>" alone ────────▲                         ▲
      └────────────────── anything else ─────────────────────────────────┘

Only a tag at the very beginning counts: a later one is part of the answer, for instance in a text on HTML.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["ThinkSplitter", "split_thinking"]

OPEN, CLOSE = "<think>", "</think>"


class _At(Enum):
    START = auto()
    INSIDE = auto()
    AFTER = auto()
    TEXT = auto()


class ThinkSplitter:
    """Takes content as it streams in and says which part is reasoning.

    Args:
        inside (bool): The prompt's template has opened the tag already, so the text begins with reasoning.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._at = _At.INSIDE if inside else _At.START
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece.

        Args:
            text (str): Content, cut anywhere.

        Returns:
            tuple[str, str]: Reasoning and content that are now certain; either may be empty.
        """
        self._held += text
        reasoning = content = ""
        if self._at is _At.START:
            self._open()
        if self._at is _At.INSIDE:
            reasoning = self._think()
        if self._at is _At.AFTER:
            self._held = self._held.lstrip()
            self._at = _At.TEXT if self._held else _At.AFTER
        if self._at is _At.TEXT:
            content, self._held = self._held, ""
        return reasoning, content

    def end(self) -> tuple[str, str]:
        """Say that no more comes.

        Returns:
            tuple[str, str]: What was held back in case a tag was being written.
        """
        rest, self._held = self._held, ""
        return (rest, "") if self._at is _At.INSIDE else ("", rest)

    def _open(self) -> None:
        seen = self._held.lstrip()
        if seen.startswith(OPEN):
            self._held, self._at = seen[len(OPEN) :].lstrip("\r\n"), _At.INSIDE
        elif seen.startswith(CLOSE):  # a template that switched thinking off left it behind
            self._held, self._at = seen[len(CLOSE) :], _At.AFTER
        elif not OPEN.startswith(seen) and not CLOSE.startswith(seen):
            self._at = _At.TEXT

    def _think(self) -> str:
        before, found, after = self._held.partition(CLOSE)
        if found:
            self._held, self._at = after, _At.AFTER
            return before
        keep = _unfinished(self._held)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return said


def split_thinking(text: str) -> tuple[str, str]:
    """Split a whole text.

    A `</think>` alone on its line, without an opening one, ends reasoning whose tag the prompt's template
    had opened.

    Args:
        text (str): The content as the server sent it.

    Returns:
        tuple[str, str]: Reasoning and answer.
    """
    lone = OPEN not in text and f"\n{CLOSE}\n" in f"\n{text}\n"
    splitter = ThinkSplitter(inside=lone)
    reasoning, content = splitter.feed(text)
    late_reasoning, late_content = splitter.end()
    return (reasoning + late_reasoning).strip(), content + late_content


def _unfinished(text: str) -> int:
    """How many letters at the end could be the beginning of the closing tag."""
    return next((size for size in range(min(len(CLOSE) - 1, len(text)), 0, -1) if CLOSE.startswith(text[-size:])), 0)
