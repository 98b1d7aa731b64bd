"""Reading what callers send: with a limit, and nothing that could hurt whoever reads it later.

The order matters. Size is looked at while reading, so nobody makes us hold more than the limit. Depth
is looked at in the bytes, before any parser recurses into them. Halves of characters and NUL are
refused here, once, since neither databases nor terminals nor pages can keep them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive

from perdure.errors.base import InputTooLarge, InvalidInput, Malformed, WrongMediaType

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_LONE_HALF = re.compile(rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
DRAIN_BYTES, _DRAIN_S = 64 * 1024 * 1024, 10.0
"""How much of a too large body we let pass unread, so that its sender gets to read our answer."""
BODY_S = 120.0
"""How long a body may take to arrive."""

__all__ = ["BODY_S", "DRAIN_BYTES", "body_pieces", "check_media_type", "depth_of", "drain", "parse_json", "read_body"]


async def read_body(headers: Headers, receive: Receive, *, limit: int) -> bytes:
    """Read a request's body, never holding more than the limit.

    Args:
        headers (Headers): Of the request.
        receive (Receive): As ASGI gives it.
        limit (int): The most bytes.

    Returns:
        bytes: The body.

    Raises:
        InputTooLarge: There is more.
        Malformed: The caller hung up in the middle, or was too slow.
    """
    try:
        async with asyncio.timeout(BODY_S):
            body = await _read(headers, receive, limit=limit)
    except TimeoutError as error:
        raise Malformed(f"the body did not arrive within {BODY_S:g} s", hint="Put less at once.") from error
    if body is not None:
        return body
    if headers.get("expect", "").lower() != "100-continue":
        await drain(receive)
    raise InputTooLarge(
        f"the body is larger than {limit:,} bytes",
        hint="Put less at once, or raise `server.max_body_bytes`.",
    )


async def _read(headers: Headers, receive: Receive, *, limit: int) -> bytes | None:
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        return None
    pieces: list[bytes] = []
    size = 0
    async for piece in body_pieces(receive):
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def check_media_type(headers: Headers) -> None:
    """Make sure that the body says it is JSON.

    Args:
        headers (Headers): Of the request.

    Raises:
        WrongMediaType: It says something else, or nothing.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        said = f"JSON, not {media_type[:80]!r}" if media_type else "JSON; the request has no content type"
        raise WrongMediaType(f"the body must be {said}", hint="Send the header `content-type: application/json`.")


def parse_json(body: bytes, *, max_depth: int) -> Any:
    """Make plain data of JSON that is safe to keep.

    Args:
        body (bytes): What the caller sent.
        max_depth (int): The most levels of arrays and objects.

    Returns:
        Any: Dicts, lists, texts, numbers, booleans and None.

    Raises:
        Malformed: It is not JSON, not UTF-8, too deep, or has half a character in it.
        InvalidInput: It has the character NUL in it.
    """
    if not body.strip():
        raise Malformed("the body is empty", hint="Send a JSON object.")
    if (depth := depth_of(body, enough=max_depth)) > max_depth:
        raise Malformed(f"the JSON is nested {depth:,} levels deep or more; {max_depth} are allowed", hint="Flatten it.")
    if b"\\u0000" in body and _NUL.search(body):
        raise InvalidInput("a text holds the character NUL (\\u0000), which cannot be kept", hint="Take it out.")
    try:
        return msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: {error.reason} at byte {error.start}", hint="JSON is written in UTF-8.") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        if _LONE_HALF.search(body):
            message = "a text holds half a character (a lone surrogate such as \\ud800)"
            raise Malformed(message, hint="Write the whole pair, or leave it out.") from error
        if str(error).startswith("Number out of range"):
            raise Malformed("a number in the body is too large: beyond about ±1.8e308", hint="Send it as a text.") from error
        raise Malformed(f"the body is not JSON: {error}", hint="Check it with `python -m json.tool`.") from error


def depth_of(body: bytes, *, enough: int) -> int:
    """Measure how deeply JSON is nested, in linear time and without parsing it.

    Args:
        body (bytes): JSON, or what claims to be.
        enough (int): Up to this many opening brackets nothing needs to be measured.

    Returns:
        int: The deepest level; brackets inside texts do not count.
    """
    if (most := body.count(b"[") + body.count(b"{")) <= enough:
        return most
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _NOT_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)


async def body_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Read a request's body as it comes.

    Args:
        receive (Receive): As ASGI gives it.

    Yields:
        bytes: The next piece, perhaps empty.

    Raises:
        Malformed: The caller hung up in the middle.
    """
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Malformed("the caller hung up before the end of the body")
        yield event.get("body", b"")
        if not event.get("more_body", False):
            return


async def drain(receive: Receive) -> None:
    """Let what is left of a refused body pass unread, within limits, so that its sender gets to read our answer.

    Args:
        receive (Receive): As ASGI gives it.
    """
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for piece in body_pieces(receive):
                left -= len(piece)
                if left < 0:
                    return
    except (TimeoutError, Malformed):
        return  # too slow or gone: they may miss the answer, which is theirs to lose
