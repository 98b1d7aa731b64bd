"""One conversation of a verb with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.client.aio import AsyncClient

_Answer = TypeVar("_Answer")

__all__ = ["talk"]


def talk(call: Callable[[AsyncClient], Awaitable[_Answer]], *, url: str | None, retry_for_s: float = 1.0) -> _Answer:
    """Open a client, let it do something, and close it.

    Args:
        call (Callable[[AsyncClient], Awaitable[_Answer]]): What to do.
        url (str | None): Where the server is, if said.
        retry_for_s (float): How long a lost connection is tried again; longer where a restart of the server is to be sat out.

    Returns:
        _Answer: What it returned.
    """

    async def conversation() -> _Answer:
        async with AsyncClient(url, retry_for_s=retry_for_s) as client:
            return await call(client)

    return asyncio.run(conversation())
