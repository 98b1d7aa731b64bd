"""One conversation of a verb with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.client.aio import AsyncClient
from perdure.client.plain import PlainWire

_Answer = TypeVar("_Answer")

__all__ = ["talk"]


def talk(call: Callable[[AsyncClient], Awaitable[_Answer]], *, url: str | None, retry_for_s: float = 1.0, many: bool = False) -> _Answer:
    """Open a client, let it do something, and close it.

    Args:
        call (Callable[[AsyncClient], Awaitable[_Answer]]): What to do.
        url (str | None): Where the server is, if said.
        retry_for_s (float): How long a lost connection is tried again; longer where a restart of the server is to be sat out.
        many (bool): True where many requests are made, so that a pool is worth its time.

    Returns:
        _Answer: What it returned.
    """

    async def conversation() -> _Answer:
        async with AsyncClient(url, retry_for_s=retry_for_s, wire=None if many else PlainWire()) as client:
            return await call(client)

    return asyncio.run(conversation())
