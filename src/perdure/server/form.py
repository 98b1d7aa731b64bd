"""Reading a form with a file in it as it comes: nothing of the file is held but the piece at hand.

The fields may stand before the file or behind it. Who sends more than is allowed, slower than is allowed or something
that is no form, is told so, and whoever takes the file in learns that it will not become whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import NamedTuple, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from perdure.errors.base import InputError, InputTooLarge, InvalidInput, Malformed, WrongMediaType
from perdure.server.body import DRAIN_BYTES, body_pieces, drain

SILENCE_S = 60.0
"""How long nothing of a form may come."""
_FIELDS, _FIELD_BYTES, _NAME_LETTERS = 32, 64 * 1024, 255

__all__ = ["SILENCE_S", "FileTaker", "read_form"]


class FileTaker(Protocol):
    """Takes in the file of a form."""

    async def begin(self, name: str) -> None:
        """Hear that it comes.

        Args:
            name (str): As its sender calls it, without control characters.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Take what comes next of it.

        Args:
            data (bytes): As large as it came over the wire.
        """
        ...


class _Part(NamedTuple):
    name: str
    file: str | None
    """What the file is called; None for a field."""


class _Data(NamedTuple):
    data: bytes


async def read_form(headers: Headers, receive: Receive, taker: FileTaker, *, limit: int) -> Mapping[str, str]:
    """Read a form with one file, called `file`.

    Args:
        headers (Headers): Of the request.
        receive (Receive): As ASGI gives it.
        taker (FileTaker): Gets the file.
        limit (int): The most bytes of the file.

    Returns:
        Mapping[str, str]: The other fields.

    Raises:
        WrongMediaType: It is no form.
        Malformed: It breaks off, is too slow, or cannot be read.
        InputTooLarge: The file has more bytes.
        InvalidInput: There are several files, or too much beside it.
    """
    reading, parser = _Reading(taker, limit), _Parser(_boundary_of(headers))
    await _refuse_announced(headers, receive, limit)
    failed: InputError | None = None
    left = DRAIN_BYTES
    async with aclosing(_in_time(receive)) as pieces:
        async for piece in pieces:
            if failed is None:
                try:
                    await reading.take_all(parser.events(piece))
                except InputError as error:
                    failed = error
            elif (left := left - len(piece)) < 0:  # some of the rest passes unread, so that its sender gets to read our answer
                break
    if failed is not None:
        raise failed
    if not parser.ended:
        raise Malformed("the form breaks off before its end")
    return reading.fields


async def _refuse_announced(headers: Headers, receive: Receive, limit: int) -> None:
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit + _FIELDS * _FIELD_BYTES:
        if headers.get("expect", "").lower() != "100-continue":
            await drain(receive)
        raise _too_large(limit)


class _Reading:
    """What has been read so far."""

    def __init__(self, taker: FileTaker, limit: int) -> None:
        self.fields: dict[str, str] = {}
        self._taker, self._limit = taker, limit
        self._part: _Part | None = None
        self._value = b""
        self._size: int | None = None

    async def take_all(self, events: Iterable[_Part | _Data | None]) -> None:
        """Go on."""
        for event in events:
            await self._take(event)

    async def _take(self, event: _Part | _Data | None) -> None:
        if isinstance(event, _Part):
            await self._begin(event)
        elif event is None:
            self._end()
        elif self._part is not None and self._part.file is not None:
            self._size = (self._size or 0) + len(event.data)
            if self._size > self._limit:
                raise _too_large(self._limit)
            await self._taker.write(event.data)
        else:
            self._value += event.data
            if len(self._value) > _FIELD_BYTES:
                raise InvalidInput(f"a field of the form is larger than {_FIELD_BYTES:,} bytes")

    async def _begin(self, part: _Part) -> None:
        self._part, self._value = part, b""
        if part.file is None:
            if part.name in self.fields or len(self.fields) >= _FIELDS:
                raise InvalidInput(f"{part.name[:60]}: the form says it more than once, or too much beside it")
            return
        if part.name != "file" or self._size is not None:
            raise InvalidInput(f"{part.name[:60]}: one file is taken, in the field `file`", problems=["file: one is taken"])
        self._size = 0
        await self._taker.begin(part.file)

    def _end(self) -> None:
        if self._part is not None and self._part.file is None:
            try:
                self.fields[self._part.name] = self._value.decode()
            except UnicodeDecodeError as error:
                raise Malformed(f"the field {self._part.name[:60]!r} is not UTF-8") from error
        self._part = None


class _Parser:
    """The library's callbacks as events."""

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._events: list[_Part | _Data | None] = []
        self._header, self._value, self._disposition = b"", b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": lambda data, start, end: self._events.append(_Data(data[start:end])),
                "on_part_end": lambda: self._events.append(None),
                "on_end": self._end,
            },
        )

    def events(self, piece: bytes) -> Iterable[_Part | _Data | None]:
        """Read a piece, and say what was in it."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise Malformed(f"the form cannot be read: {error}") from error
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_end(self) -> None:
        _, said = parse_options_header(self._disposition)
        name, file = said.get(b"name"), said.get(b"filename")
        if name is None:
            raise Malformed("a part of the form has no name")
        self._events.append(_Part(_text(name), None if file is None else _text(file)))

    def _end(self) -> None:
        self.ended = True


def _text(said: bytes) -> str:
    return "".join(letter for letter in said.decode("utf-8", "replace") if letter.isprintable())[:_NAME_LETTERS]


def _boundary_of(headers: Headers) -> bytes:
    media_type, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise WrongMediaType("the body must be a form with a file", hint="Send `multipart/form-data` with its boundary.")
    return boundary


async def _in_time(receive: Receive) -> AsyncGenerator[bytes, None]:
    coming = body_pieces(receive)
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                piece = await anext(coming, None)
        except TimeoutError as error:
            raise Malformed(f"nothing of the form came for {SILENCE_S:g} s") from error
        if piece is None:
            return
        yield piece


def _too_large(limit: int) -> InputTooLarge:
    return InputTooLarge(f"the file is larger than {limit:,} bytes", hint="Cut it in several, or raise `server.max_file_bytes`.")
