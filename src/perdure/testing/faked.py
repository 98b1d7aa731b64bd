"""What a fault means to a provider without a network: the same bytes, read by the same code."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from perdure.clock import now
from perdure.errors.base import Billed, NetworkFailed, ProviderTimeout, ServerFailed, StreamCut
from perdure.providers.errors import Whence, judge
from perdure.providers.protocol import ChatAnswer
from perdure.providers.reading import as_answer, read_whole
from perdure.testing.faults import Fault, said_by
from perdure.wire.errors import error_in, read_error

__all__ = ["faked"]


async def faked(fault: Fault, answer: dict[str, Any], provider: str, timeout_s: float | None) -> ChatAnswer:
    """Fail as `Upstream` would, or answer where the fault is none.

    Args:
        fault (Fault): What to do.
        answer (dict[str, Any]): What would have been answered.
        provider (str): For messages.
        timeout_s (float | None): How long the caller waits.

    Returns:
        ChatAnswer: Of `slow` and `close`, and of a `garbage` whose body is an answer.

    Raises:
        ProviderError: What the caller gets to see.
    """
    whence = Whence(provider=provider, status=fault.status if fault.kind == "status" else 200, headers=fault.headers)
    if fault.kind in {"hang", "stall"}:
        await _wait(fault, provider, timeout_s)
    if fault.kind in {"slow", "close"}:
        return as_answer(answer, whence)
    if fault.kind == "status":
        raise judge(read_error(said_by(fault)), whence, now())
    if fault.kind in {"cut", "stream-error"} and fault.after:
        whence = Whence(provider=provider, status=200, partly=True)
    if fault.kind == "stream-error":
        body = fault.body or {"error": {"message": "scripted", "code": "server_error"}}
        raise judge(_marked(body, fault.comment), whence, now())
    if fault.kind == "cut" and fault.after:
        raise StreamCut(f"{provider!r} ended the stream before its end")
    if fault.kind in {"cut", "disconnect", "hang"}:
        raise NetworkFailed(f"the connection to {provider!r} broke", billed=Billed.MAYBE)
    return as_answer(read_whole(said_by(fault), whence), whence)


async def _wait(fault: Fault, provider: str, timeout_s: float | None) -> None:
    if timeout_s is None or timeout_s >= fault.seconds:
        await asyncio.sleep(fault.seconds)
        return
    await asyncio.sleep(timeout_s)
    raise ProviderTimeout(f"{provider!r} gave no complete answer within {timeout_s} s", billed=Billed.MAYBE)


def _marked(body: Any, comment: str | None) -> Any:
    said = error_in(body)
    if said is None:
        raise ServerFailed(f"no error can be read from {json.dumps(body)[:200]}")
    return said if comment is None else error_in({"error": {"message": f"{said.message} {comment}", "type": said.type, "code": said.code}})
