"""What may go wrong at a provider, so that a test can ask for it."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

__all__ = ["Fault", "said_by"]


class Fault(msgspec.Struct, frozen=True):
    """One failure, used by one request.

    `status` answers with that status, headers and body; `hang` says nothing for `seconds`; `disconnect`
    closes the connection without a byte; `cut` streams `after` pieces and closes it; `stream-error`
    streams `after` pieces and then `body` as an `event: error` with `comment`; `html`, `empty` and `garbage` answer 200
    with a page, nothing, and JSON of the wrong shape; `mangled` answers with bytes that are no UTF-8; `stall` begins the
    answer and then says nothing for `seconds`. Two are none: `slow` answers in small pieces with a pause of `seconds`
    between them, `close` answers and closes the connection.
    """

    kind: Literal["status", "hang", "cut", "html", "empty", "garbage", "stream-error", "disconnect", "mangled", "stall", "slow", "close"]
    status: int = 500
    headers: dict[str, str] = {}
    body: Any = None
    after: int = 2
    seconds: float = 3600.0
    comment: str | None = None
    tag: str | None = None


def said_by(fault: Fault) -> bytes:
    """Give the body that a fault answers with.

    Args:
        fault (Fault): Of those that answer in one piece.

    Returns:
        bytes: As it goes over the wire.
    """
    if fault.kind == "status" and isinstance(fault.body, str):
        return fault.body.encode()
    bodies: dict[str, bytes] = {
        "html": b"<html><body>502 Bad Gateway</body></html>",
        "empty": b"",
        "mangled": b'{"choices":[{"message":{"content":"\xff\xfe"}}]}',
    }
    otherwise = {"error": {"message": "scripted", "type": "server_error", "code": None}} if fault.kind == "status" else {}
    return bodies.get(fault.kind) or (
        b"" if fault.kind == "empty" else json.dumps(otherwise if fault.body is None else fault.body).encode()
    )
