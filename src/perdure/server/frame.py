"""The frame around all doors: a number for each request, headers for safety, and no traceback for anyone.

Pure ASGI: a middleware that runs the application in a task of its own would break streaming and
hang-ups. It is the outermost layer, so that even a refusal made by nobody else carries its number.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.clock import awake
from perdure.errors.handler import handle
from perdure.events import tell

_OURS = "perdure.trace"
_GOOD_ID = re.compile(rb"[A-Za-z0-9_\-]{1,64}")
_SAFETY = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""What every answer says unless it says something better."""

_BROKEN = b'{"type":"urn:perdure:error:internal-error","title":"Internal error","status":500,'

__all__ = ["Frame", "Trace", "trace_of"]


@dataclass
class Trace:
    """What is known of a request by those who count and log it."""

    request_id: str
    route: str = "unmatched"
    """The path as the door has it, never the caller's own text."""
    key_id: str | None = None
    error: str | None = None
    status: int = 0
    says: list[tuple[str, str]] = field(default_factory=list)
    """Headers that go with whatever is answered, errors among it."""


def trace_of(scope: Scope) -> Trace:
    """Find the trace of a request.

    Args:
        scope (Scope): As ASGI gives it.

    Returns:
        Trace: To be filled in on the way.
    """
    trace: Trace = scope[_OURS]
    return trace


class Frame:
    """Wraps an application.

    Args:
        app (ASGIApp): What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Args:
            scope (Scope): As ASGI gives it.
            receive (Receive): As ASGI gives it.
            send (Send): As ASGI gives it.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = scope[_OURS] = Trace(_request_id(scope))
        began = awake()
        out = _Outlet(send, trace)
        try:
            await self._app(scope, receive, out)
        except Exception as error:
            handle(error, where="server", what=f"request {trace.request_id} failed on {trace.route}", broke=True)
            trace.error = "internal-error"
            if out.begun:
                raise  # half an answer is out: only cutting the connection still tells the caller
            await _say_broken(out, trace)
        finally:
            tell(
                "request.served",
                request_id=trace.request_id,
                method=scope["method"],
                route=trace.route,
                status=trace.status or 499,
                seconds=awake() - began,
                key=trace.key_id,
                code=trace.error,
            )


class _Outlet:
    """Adds the frame's headers to whatever an application answers."""

    def __init__(self, send: Send, trace: Trace) -> None:
        self._send = send
        self._trace = trace
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self._trace.status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            said = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _SAFETY.items() if name not in said]
            headers += [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in self._trace.says]
            headers.append((b"x-request-id", self._trace.request_id.encode("ascii")))
            message = {**message, "headers": headers}
        await self._send(message)


def _request_id(scope: Scope) -> str:
    sent = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(sent) == 1 and _GOOD_ID.fullmatch(sent[0]):
        return str(sent[0], "ascii")  # a caller's own number, so that its log and ours speak of the same
    return "req_" + secrets.token_hex(12)


async def _say_broken(send: Any, trace: Trace) -> None:
    body = _BROKEN + (
        f'"detail":"something went wrong inside","code":"internal-error",'
        f'"hint":"The log has it under this request_id.","request_id":"{trace.request_id}","errors":[]}}'
    ).encode("ascii")
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
