"""Finds an error in one event of a stream that had begun well."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.wire.errors import ErrorSaid, error_in
from perdure.wire.sse import SseDecoder, SseEvent

__all__ = ["said_in_event", "said_in_stream"]


def said_in_event(body: Any, event: SseEvent) -> ErrorSaid | None:
    """Read what an event says went wrong. DashScope writes the status into a comment beside it.

    Args:
        body (Any): The event's data, decoded as far as it can be.
        event (SseEvent): It.

    Returns:
        ErrorSaid | None: None if it is no error.
    """
    said = error_in(body)
    if said is None and event.event == "error":
        said = error_in({"error": str(body)})
    if said is None:
        return None
    return msgspec.structs.replace(said, message=f"{said.message} {' '.join(event.comments)}".strip())


def said_in_stream(raw: bytes) -> ErrorSaid | None:
    """Find the first error in a whole stream, as somebody copied it.

    Args:
        raw (bytes): `event: …`, `data: …`.

    Returns:
        ErrorSaid | None: None if there is none.
    """
    decoder = SseDecoder()
    found = (said_in_event(_decoded(event.data), event) for event in (*decoder.feed(raw.rstrip() + b"\n\n"), *decoder.end()))
    return next((said for said in found if said is not None), None)


def _decoded(data: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
