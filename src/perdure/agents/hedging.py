"""A slow call is asked for a second time, elsewhere, and the first answer counts: paid on purpose.

Theory of operation: only once a call takes longer than nineteen in twenty of its lane did of late, only while the budget
of its model lasts, and only if another deployment is open. The second try is committed as an intent of the same step
before it is sent, like any other. Who answers first is recorded as who served; the other is cut off, and counted as `hedged`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeAlias

import msgspec

from perdure.agents.choosing import Choosing, Way
from perdure.errors.base import ProviderError
from perdure.errors.report import facts_of
from perdure.providers.protocol import ChatAnswer

__all__ = ["Asked", "Raced", "raced"]

Asked: TypeAlias = ChatAnswer | ProviderError | None
"""What came of a try; None if the provider knows of no such call (any more)."""
Ask: TypeAlias = Callable[[Way], Awaitable[Asked]]


class Raced(msgspec.Struct, frozen=True):
    """What came of a try, or of two."""

    asked: Asked
    way: Way
    """Whose answer or error it is."""
    hedged: bool = False
    """Two were asked."""


async def raced(choosing: Choosing, first: Way, ask: Ask, begin: Callable[[Way], Awaitable[bool]], leaving: ExitStack) -> Raced:
    """Ask, and ask once more elsewhere if that takes long.

    Args:
        choosing (Choosing): The call's.
        first (Way): Whom to ask.
        ask (Ask): Makes one try.
        begin (Callable[[Way], Awaitable[bool]]): Commits that a second one is about to be made; false if it may not.
        leaving (ExitStack): Leaves the second way in the end.

    Returns:
        Raced: The first answer; if there is none, the last error.
    """
    hedge, slow_s = choosing.model.hedge, choosing.model.pace.slow_s(first.target.lane)
    if hedge is not None:
        hedge.called()
    if hedge is None or slow_s is None:
        return Raced(await ask(first), first)
    running: dict[asyncio.Future[Asked], Way] = {asyncio.ensure_future(ask(first)): first}
    try:
        done, _ = await asyncio.wait(running, timeout=slow_s)
        second = await choosing.beside(first.target.lane) if not done and hedge.take() else None
        if second is not None:
            leaving.callback(second.passage.left)
            if await begin(second):
                running[asyncio.ensure_future(ask(second))] = second
        asked, way = await _first_answer(running, choosing)
        return Raced(asked, way, hedged=len(running) > 1)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _first_answer(running: dict[asyncio.Future[Asked], Way], choosing: Choosing) -> tuple[Asked, Way]:
    ends = set(running)
    while True:
        done, ends = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        told = sorted(((task.result(), running[task]) for task in done), key=lambda one: isinstance(one[0], ChatAnswer))
        asked, way = told.pop()
        for error, elsewhere in told if isinstance(asked, ChatAnswer) or not ends else [*told, (asked, way)]:
            choosing.leave_out(elsewhere.target.lane)
            if isinstance(error, ProviderError):
                await elsewhere.passage.met(facts_of(error))
        if isinstance(asked, ChatAnswer) or not ends:
            return asked, way
