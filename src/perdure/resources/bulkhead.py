"""So many at once and no more: a `Bulkhead` keeps one kind of work from sinking the ship.

Theory of operation. Work that waits for something slow piles up until memory, connections or threads are
gone, and takes everything else down. A bulkhead lets a fixed number in; the others wait outside, first come first
served, and so many at most: who comes when the waiting room is full, or waits longer than they like, is turned away
at once and can say so to their own caller. Being turned away early is what keeps the rest afloat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from perdure.errors.base import BulkheadFull

__all__ = ["Bulkhead"]


class Bulkhead:
    """Lets a fixed number in at once. For one event loop.

    Example:
        ```python
        searches = Bulkhead(4, waiting=100, wait_s=5.0)
        async with searches:
            found = await index.search(words)
        ```

    Args:
        at_once (int): So many may be inside.
        waiting (int | None): So many may wait outside; None for any number.
        wait_s (float | None): Nobody waits longer; None for as long as it takes.

    Raises:
        ValueError: Nobody could ever get in.
    """

    def __init__(self, at_once: int, *, waiting: int | None = None, wait_s: float | None = None) -> None:
        if at_once < 1:
            raise ValueError(f"a bulkhead that lets {at_once!r} in lets nobody in")
        self._at_once, self._most_waiting, self._wait_s = at_once, waiting, wait_s
        self._inside = 0
        self._outside: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How many wait outside."""
        return sum(not one.done() for one in self._outside)

    async def enter(self) -> None:
        """Go in, waiting for room. Whoever went in must `leave`.

        Raises:
            BulkheadFull: There is no room, and none to wait in; or there was none in time.
        """
        if self._inside < self._at_once and not self._outside:
            self._inside += 1
            return
        if self._most_waiting is not None and self.waiting >= self._most_waiting:
            raise BulkheadFull(
                f"{self._inside} are inside and {self.waiting} wait: there is no room for one more", hint="Come again a little later."
            )
        await self._wait()

    def leave(self) -> None:
        """Go out, and let in whoever has waited longest."""
        self._inside -= 1
        self._admit()

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # let in at the very moment of giving up: the place goes to the next
            else:
                turn.cancel()
                self._admit()
            if isinstance(error, TimeoutError):
                raise BulkheadFull(
                    f"no room within {self._wait_s} s; {self._inside} are inside", hint="Come again a little later."
                ) from error
            raise

    def _admit(self) -> None:
        while self._outside and (self._outside[0].done() or self._inside < self._at_once):
            turn = self._outside.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
