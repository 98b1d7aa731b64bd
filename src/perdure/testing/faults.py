"""What may go wrong at a provider, so that a test can ask for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import msgspec
from aiohttp import web

from perdure.wire.answers import chunks_of
from perdure.wire.sse import encode_event

__all__ = ["Fault", "commit"]


class Fault(msgspec.Struct, frozen=True):
    """One failure, used by one request.

    `status` answers with that status, headers and body; `hang` says nothing for `seconds`; `disconnect`
    closes the connection without a byte; `cut` streams `after` pieces and closes it; `stream-error`
    streams `after` pieces and then `body` as an `event: error` with `comment`; `html`, `empty` and `garbage` answer 200
    with a page, nothing, and JSON of the wrong shape.
    """

    kind: Literal["status", "hang", "cut", "html", "empty", "garbage", "stream-error", "disconnect"]
    status: int = 500
    headers: dict[str, str] = {}
    body: Any = None
    after: int = 2
    seconds: float = 3600.0
    comment: str | None = None
    tag: str | None = None


async def commit(fault: Fault, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    """Fail as told.

    Args:
        fault (Fault): What to do.
        request (web.Request): Whom to do it to.
        answer (dict[str, Any]): What would have been answered; a cut stream begins with it.

    Returns:
        web.StreamResponse: Whatever the client gets to see.
    """
    if fault.kind == "status":
        return _status(fault)
    if fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
    if fault.kind in {"hang", "disconnect"}:
        _hang_up(request)
        return web.Response()
    if fault.kind in {"cut", "stream-error"}:
        return await _break_stream(fault, request, answer)
    return _nonsense(fault)


def _status(fault: Fault) -> web.Response:
    body = {"error": {"message": "scripted", "type": "server_error", "code": None}} if fault.body is None else fault.body
    if isinstance(body, str):
        return web.Response(text=body, status=fault.status, headers=fault.headers)
    return web.json_response(body, status=fault.status, headers=fault.headers)


def _nonsense(fault: Fault) -> web.Response:
    if fault.kind == "html":
        return web.Response(text="<html><body>502 Bad Gateway</body></html>", content_type="text/html")
    if fault.kind == "empty":
        return web.Response(body=b"")
    return web.Response(text="{}" if fault.body is None else json.dumps(fault.body), content_type="application/json")


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


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
