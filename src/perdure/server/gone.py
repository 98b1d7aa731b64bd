"""Callers who hang up: whatever was being done for them stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")

__all__ = ["while_there"]


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Do something for as long as the caller is there.

    The request's body must have been read: only then does ASGI tell of a hang-up.

    Args:
        receive (Receive): As ASGI gives it.
        work (Coroutine[Any, Any, T]): Cancelled, and waited for, when the caller goes away.

    Returns:
        T | None: What `work` returned; None if nobody is there to hear it.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        await _end(watching)
        await _end(doing)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # seen: a failure after the hang-up has no reader
