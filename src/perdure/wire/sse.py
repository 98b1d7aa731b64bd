"""Server-sent events: bytes to events and back.

Written after the WHATWG rules: a line ends with LF, CR or CRLF, and any of them may be split over two
reads, as may a letter of UTF-8; a line with a leading colon is a comment; an empty line ends the event.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["DONE", "EventTooLarge", "SseDecoder", "SseEvent", "encode_comment", "encode_event", "encode_json"]

DONE = b"data: [DONE]\n\n"
"""How OpenAI ends a stream."""

_json = msgspec.json.Encoder()


class EventTooLarge(ValueError):
    """An event has more bytes than the decoder allows; the sender is broken."""


class SseEvent(msgspec.Struct, frozen=True):
    """One event."""

    data: str
    event: str = "message"
    id: str | None = None
    comments: tuple[str, ...] = ()
    """The comment lines in it; DashScope says there with which status it failed."""


class SseDecoder:
    """Takes bytes as they come and gives events as they end.

    Args:
        limit_bytes (int): The largest single event.
    """

    def __init__(self, *, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit = limit_bytes
        self._open: list[bytes] = []  # the pieces of a line that has not ended; joined once, when it does
        self._held = 0
        self._fields: list[tuple[str, str]] = []
        self._size = 0
        self._first = True

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes.

        Args:
            data (bytes): Any number, cut anywhere.

        Returns:
            list[SseEvent]: The events that ended with them.

        Raises:
            EventTooLarge: One event grew beyond the limit.
        """
        self._held += len(data)
        waits_for_lf = bool(self._open) and self._open[-1].endswith(b"\r")
        self._open.append(data)
        if b"\n" in data or b"\r" in data or waits_for_lf:
            lines, rest = _lines(b"".join(self._open))
            self._open, self._held = [rest], len(rest)
            events = [event for line in lines if (event := self._take(line)) is not None]
        else:
            events = []
        if self._size + self._held > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        return events

    def end(self) -> list[SseEvent]:
        """Say that no more bytes come.

        An unfinished event is given too, unlike in a browser: servers that forget the last empty line
        are common, and an answer cut in the middle is seen by its missing `[DONE]`.

        Returns:
            list[SseEvent]: The last event, if there is one.
        """
        rest = b"".join(self._open).rstrip(b"\r")
        self._open, self._held = [], 0
        events = [self._take(line) for line in (rest, b"") if line or self._fields]
        return [event for event in events if event is not None]

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._give()
        self._size += len(line)
        if self._size > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        text = line.decode("utf-8", "replace")
        if self._first:
            text, self._first = text.removeprefix("\ufeff"), False
        name, _, value = text.partition(":")
        self._fields.append((name, value.removeprefix(" ")))
        return None

    def _give(self) -> SseEvent | None:
        fields, self._fields, self._size = self._fields, [], 0
        data = [value for name, value in fields if name == "data"]
        if not data:
            return None
        last, comments = dict(fields), tuple(value for name, value in fields if not name)
        return SseEvent("\n".join(data), last.get("event") or "message", last.get("id"), comments)


def encode_event(data: Any, event: str | None = None, id: str | None = None) -> bytes:
    """Write one event.

    Args:
        data (Any): A text as it is, anything else as JSON.
        event (str | None): Its name; None for an ordinary one.
        id (str | None): What a reader gives back as `Last-Event-ID`.

    Returns:
        bytes: With the empty line that ends it.
    """
    text = data if isinstance(data, str) else _json.encode(data).decode()
    head = [f"{name}: {_one_line(value)}" for name, value in (("event", event), ("id", id)) if value is not None]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join([*head, *(f"data: {line}" for line in lines), "", ""]).encode("utf-8", "replace")


def encode_json(data: Any) -> bytes:
    """Write one event without a name whose data is JSON, which has no line breaks of its own.

    Args:
        data (Any): What is to be written.

    Returns:
        bytes: With the empty line that ends it.
    """
    return b"data: %b\n\n" % _json.encode(data)


def encode_comment(text: str = "") -> bytes:
    """Write a comment, which keeps a quiet connection open.

    Args:
        text (str): Shown to nobody.

    Returns:
        bytes: With the empty line that ends it.
    """
    return f": {_one_line(text)}\n\n".encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")


def _lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut into whole lines; a CR at the very end waits, since its LF may come next."""
    waits = data.endswith(b"\r")
    text = (data[:-1] if waits else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, rest = text.split(b"\n")
    return lines, rest + (b"\r" if waits else b"")
