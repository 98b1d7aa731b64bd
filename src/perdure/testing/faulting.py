"""Commits a fault over real HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from perdure.testing.faults import Fault, said_by
from perdure.wire.answers import chunks_of
from perdure.wire.sse import DONE, encode_event

__all__ = ["commit"]


async def commit(fault: Fault, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    """Fail as told.

    Args:
        fault (Fault): What to do.
        request (web.Request): Whom to do it to.
        answer (dict[str, Any]): What would have been answered; a cut stream begins with it.

    Returns:
        web.StreamResponse: Whatever the client gets to see.
    """
    if fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
    if fault.kind in {"hang", "disconnect"}:
        _hang_up(request)
        return web.Response()
    if fault.kind in {"cut", "stream-error"}:
        return await _break_stream(fault, request, answer)
    if fault.kind in {"stall", "slow", "close"}:
        return await _in_pieces(fault, request, answer)
    return _whole(fault)


def _whole(fault: Fault) -> web.Response:
    status = fault.status if fault.kind == "status" else 200
    is_page = fault.kind in {"html", "empty"} or isinstance(fault.body, str)
    return web.Response(
        body=said_by(fault), status=status, headers=fault.headers, content_type="text/html" if is_page else "application/json"
    )


async def _break_stream(fault: Fault, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks_of(answer, piece=4)[: fault.after]:
        await response.write(encode_event(chunk))
    if fault.kind == "stream-error":
        event = encode_event(fault.body or {"error": {"message": "scripted", "code": "server_error"}}, event="error")
        await response.write((f":{fault.comment}\n".encode() if fault.comment else b"") + event)
        return response
    _hang_up(request)
    return response


async def _in_pieces(fault: Fault, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    streamed = (await request.json()).get("stream")
    response = web.StreamResponse(headers={"content-type": "text/event-stream" if streamed else "application/json"})
    if fault.kind == "close":
        response.force_close()
    await response.prepare(request)
    pieces = _streamed(answer) if streamed else [json.dumps(answer).encode()]
    if fault.kind == "slow" or not streamed:
        pieces = _cut(b"".join(pieces))
    for at, piece in enumerate(pieces):
        await response.write(piece)
        if fault.kind != "close" and (fault.kind == "slow" or at == fault.after):
            await asyncio.sleep(fault.seconds)
    return response


def _streamed(answer: dict[str, Any]) -> list[bytes]:
    return [*(encode_event(chunk) for chunk in chunks_of(answer, piece=4)), DONE]


def _cut(whole: bytes) -> list[bytes]:
    """Into pieces that end anywhere, also within a letter."""
    size = max(1, len(whole) // 7)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
