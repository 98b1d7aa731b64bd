"""Fair tags on PostgreSQL: drawn by a process for all its calls, beside their transactions.

Theory of operation. If a put wrote its tenant's last tag in its own transaction, all who put for that tenant
would wait for each other's flush to disk. So tags are drawn in a statement of its own, whose commit waits for no
disk: should the server lose it in a crash, tags are drawn once more, and two messages share a turn. A process
that draws much from a line draws for the next moments as well, and lets go of what it has not used by then. Of
the clock a process knows what it has leased itself; what others have leased it hears a tenth of a second later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from perdure.clock import awake
from perdure.errors.base import StoreError
from perdure.stores.postgres.bridge import wait_for
from perdure.stores.postgres.hot import hot
from perdure.stores.postgres.pool import Pool
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.tags import Tags

__all__ = ["PostgresTags", "TagBook"]

Line: TypeAlias = tuple[int, int, int, int]
"""Route, tenant, priority, and 1 for those that come back."""
_RESERVE, _RAISE, _CLOCK = hot("reserve"), hot("raise_clock"), statement("clock_get")
_KEPT_S, _PATIENCE_AT_CLOSE_S = 0.1, 2.0
_MANY = 16
"""Draws from a line within `_KEPT_S` from which on it is drawn ahead."""


class _Range:
    """Tags of one line that are ours, and how fast they go."""

    def __init__(self) -> None:
        self.last = self.end = 0
        self.until = self._counted_from = 0.0
        self._calls = self._drawn = 0
        self._ahead = 0

    def take(self, cost: int, now: float) -> int | None:
        """The last of so many tags, if we have them."""
        passed_s = now - self._counted_from
        if passed_s > _KEPT_S:
            often = self._calls >= _MANY and passed_s < 2 * _KEPT_S
            self._ahead = self._drawn // 2 if often else 0
            self._counted_from, self._calls, self._drawn = now, 0, 0
        self._calls, self._drawn = self._calls + 1, self._drawn + cost
        if now >= self.until or self.last + cost > self.end:
            return None
        self.last += cost
        return self.last

    def ahead(self) -> int:
        """How much to draw beyond what is needed now: what goes in half of the time for which it is kept."""
        return self._ahead


class TagBook:
    """Draws the tags of a process.

    Args:
        pool (Pool): Connections for this alone.
        again (Callable[[Callable[[float], Any]], Awaitable[Any]]): The engine's: makes an attempt until it succeeds.
    """

    def __init__(self, pool: Pool, again: Callable[[Callable[[float], Any]], Awaitable[Any]]) -> None:
        self._pool, self._again = pool, again
        self.clocks: dict[int, int] = {}
        """By priority the largest tag leased in order, as far as this process knows."""
        self._ranges: dict[Line, _Range] = {}
        self._floors: dict[tuple[int, int], int] = {}
        self._raising: asyncio.Task[None] | None = None
        self._raised: dict[int, int] = {}

    def draw_own(self, line: Line, cost: int) -> int | None:
        """Draw a tag from those that were drawn ahead.

        Args:
            line (Line): Of which line.
            cost (int): What it costs.

        Returns:
            int | None: None if there are none left; then `draw`.
        """
        return self._range(line).take(cost, awake())

    async def draw(self, wishes: Sequence[tuple[Line, int]]) -> list[int]:
        """Draw tags.

        Args:
            wishes (Sequence[tuple[Line, int]]): A line and a cost for each.

        Returns:
            list[int]: One for each, in their order.
        """
        wanted: dict[Line, int] = {}
        for line, cost in wishes:
            wanted[line] = wanted.get(line, 0) + cost
        now = awake()
        starts: dict[Line, int] = {}
        missing: dict[Line, int] = {}
        for line, cost in wanted.items():
            end = self._range(line).take(cost, now)
            if end is None:
                missing[line] = cost
            else:
                starts[line] = end - cost
        if missing:
            starts |= await self._reserve(missing, now)
        tags: list[int] = []
        for line, cost in wishes:
            starts[line] += cost
            tags.append(starts[line])
        return tags

    def leased(self, priority: int, tag: int) -> None:
        """Note that a message was leased in order; others hear of it soon.

        Args:
            priority (int): Its priority.
            tag (int): Its tag.
        """
        if tag > self.clocks.get(priority, 0):
            self.clocks[priority] = tag
            if self._raising is None or self._raising.done():
                self._raising = asyncio.create_task(self._raise_soon())

    async def close(self) -> None:
        """Tell others what they have not heard yet."""
        if self._raising is not None:
            self._raising.cancel()
            with suppress(asyncio.CancelledError):
                await self._raising
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_AT_CLOSE_S):
                await self._raise()
        await self._pool.close()

    async def _reserve(self, missing: dict[Line, int], now: float) -> dict[Line, int]:
        lines = sorted(missing)
        costs = [missing[line] + self._range(line).ahead() for line in lines]
        given = (
            *([line[at] for line in lines] for at in range(4)),
            [self.clocks.get(line[2], 0) for line in lines],
            [self._floors.get((line[0], line[2]), 0) for line in lines],
            costs,
        )
        starts: dict[Line, int] = {}
        rows = await self._fetch(_RESERVE, *given)
        reserved = dict(zip(lines, costs, strict=True))
        for route, tenant, priority, again, last, here in rows:
            line = (route, tenant, priority, again)
            self._floors[route, priority] = here + 1
            own = self._range(line)
            starts[line] = last - reserved[line]
            own.last, own.end, own.until = starts[line] + missing[line], last, now + _KEPT_S
        return starts

    def _range(self, line: Line) -> _Range:
        if len(self._ranges) > 10_000:
            self._ranges.clear()
        return self._ranges.setdefault(line, _Range())

    async def _fetch(self, text: str, *given: Any) -> list[Any]:
        """Whatever is drawn twice leaves a gap and no more, so it may be made again."""

        async def attempt(until: float) -> list[Any]:
            async with self._pool.take(until) as connection:
                return await connection.fetch(text, *given)

        rows: list[Any] = await self._again(attempt)
        return rows

    async def _raise_soon(self) -> None:
        await asyncio.sleep(_KEPT_S)
        with suppress(StoreError):  # they hear of it the next time
            await self._raise()

    async def _raise(self) -> None:
        news = {priority: tag for priority, tag in self.clocks.items() if tag > self._raised.get(priority, 0)}
        if news:
            await self._fetch(_RAISE, list(news), list(news.values()))
            self._raised |= news


class PostgresTags(Tags):
    """Draws tags inside a transaction, from what its process draws.

    Args:
        run (Run): Of the transaction.
        book (TagBook): The process's.
    """

    def __init__(self, run: Run, book: TagBook) -> None:
        super().__init__(run)
        self._book = book

    def fresh(self, route: int, tenant: int, priority: int, cost: int) -> int:
        """Draw the tag of a message that comes for the first time.

        Args:
            route (int): Where it will lie ready.
            tenant (int): Whose it is.
            priority (int): With which.
            cost (int): How much of its share it takes.

        Returns:
            int: Behind all its tenant has put there.
        """
        return self._draw((route, tenant, priority, 0), cost)

    def again_many(self, wishes: Sequence[tuple[Line, int]]) -> list[int]:
        """Draw the tags of messages that come back, all at once.

        Args:
            wishes (Sequence[tuple[Line, int]]): For each route, tenant, priority and 1, and its cost.

        Returns:
            list[int]: One for each, in their order.
        """
        return wait_for(self._book.draw(wishes))

    def leased(self, priority: int, tag: int) -> None:
        """Note that a message was leased in order."""
        self._here.clear()
        self._book.leased(priority, tag)

    def flush(self) -> list[tuple[Line, int]]:
        """Write nothing: tags are drawn from what is kept.

        Returns:
            list[tuple[Line, int]]: None.
        """
        return []

    def _draw(self, line: Line, cost: int) -> int:
        [tag] = wait_for(self._book.draw([(line, cost)]))
        return tag

    def _clock(self, priority: int) -> int:
        return max(int(self._run(_CLOCK, (priority,)).get or 0), self._book.clocks.get(priority, 0))
