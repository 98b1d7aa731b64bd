"""How pages say times, sizes and JSON: short, aligned, and the same everywhere."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.security.secrets import redact

_STEPS = ((90, 1, "s"), (90 * 60, 60, "min"), (36 * 3600, 3600, "h"), (float("inf"), 86400, "d"))
_MOST_LETTERS = 200_000

__all__ = ["answer_text", "duration", "excerpt", "number", "pretty", "span"]


def span(seconds: float | None) -> str:
    """Say how long ago, or for how long, in one rough number.

    Args:
        seconds (float | None): How long.

    Returns:
        str: For example `12 s`, `3 min`, `2 h`, `5 d`.
    """
    if seconds is None:
        return "-"
    whole = max(0.0, seconds)
    unit, word = next((unit, word) for below, unit, word in _STEPS if whole < below)
    return f"{int(whole // unit)} {word}"


def duration(began: Moment | None, ended: Moment | None) -> str:
    """Say how long something took, exactly enough to compare.

    Args:
        began (Moment | None): From when.
        ended (Moment | None): Until when.

    Returns:
        str: For example `3 ms`, `1.24 s`, `2 min 05 s`.
    """
    if began is None or ended is None:
        return "-"
    seconds = max(0.0, ended - began)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float | None) -> str:
    """Write a number so that people can read it.

    Args:
        value (float | None): None is unknown.

    Returns:
        str: With thin thousands, or `?`.
    """
    return "?" if value is None else f"{value:,}".replace(",", "\u202f")


def pretty(json: bytes | None) -> str:
    """Write JSON over several lines, without secrets.

    Args:
        json (bytes | None): As the store keeps it.

    Returns:
        str: Indented; cut where it is very long; empty for None.
    """
    if json is None:
        return ""
    try:
        shown = msgspec.json.format(json, indent=2).decode("utf-8", "replace")
    except msgspec.MsgspecError:
        shown = json.decode("utf-8", "replace")
    return redact(shown if len(shown) <= _MOST_LETTERS else shown[:_MOST_LETTERS] + f"\n… {len(shown) - _MOST_LETTERS:,} more letters")


def excerpt(json: bytes | None, most: int = 120) -> str:
    """Say in one line what a body or result is about.

    Args:
        json (bytes | None): As the store keeps it.
        most (int): At most so many letters.

    Returns:
        str: The answer of a chat, the text of a text, else compact JSON.
    """
    if json is None:
        return ""
    text = answer_text(json) or _question(json) or json[: 8 * most].decode("utf-8", "replace").strip('"')
    line = redact(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def answer_text(json: bytes | None) -> str | None:
    """Find what people want to read of a result.

    Args:
        json (bytes | None): As the store keeps it.

    Returns:
        str | None: The text of a `chat.completion`, or a result that is a text; None for anything else.
    """
    found = _read(json)
    if isinstance(found, dict) and found.get("object") == "chat.completion":
        choices = found.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        found = message.get("content") if isinstance(message, dict) else None
    return redact(found) if isinstance(found, str) and found else None


def _question(json: bytes) -> str | None:
    """Find what was asked last in the body of a chat."""
    found = _read(json)
    messages = found.get("messages") if isinstance(found, dict) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return content if isinstance(content, str) else None


def _read(json: bytes | None) -> Any:
    if json is None or json[:1] not in (b"{", b'"') or len(json) > _MOST_LETTERS:
        return None
    try:
        return msgspec.json.decode(json)
    except msgspec.MsgspecError:
        return None
