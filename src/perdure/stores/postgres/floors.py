"""Where to begin to read: below a floor nothing but dead rows is expected.

Theory of operation. What was leased leaves dead entries at the head of the index until they are cleared
away. Usually that happens at once; but while somebody keeps a transaction open, nothing is cleared, and every
look at the head would step over all that was ever taken since. So the head of each priority of each route is
remembered, and when looks become slow they begin at the head as it was a moment ago. Tags are drawn above the
head, so only a transaction that drew one and needed longer than that moment to commit can lie below. For it
a sweep looks below the floors from time to time, and lowers a floor to what it finds.

Slow is first what it seems to be from here, where the network and the wait for a connection count too. Only when
looks seem slow is the server asked how many pages lie before the heads, and that alone decides.

Floors are hints of one process. Without them everything is found as well, only later or slower.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from perdure.clock import Moment
from perdure.stores.postgres.choosing import Head

__all__ = ["Floors"]

_PRIORITIES = 10
_BY_AGE = 10
"""In the place of a priority: the order of putting."""
_LAG_S, _APART_S = 2.0, 0.1
"""A floor is where the head was so long ago; heads are noted so far apart."""
_SLOW_S = 0.005
"""A look that finds its rows at once is far below this, with a database that is near."""
_OFTEN, _ASK_S = 8, 1.0
"""After so many slow looks in a row the server is asked, once in so many seconds at most."""
_PAGES, _PAGES_EACH = 400, 8
"""More pages than this, and than this for each head, are read only where thousands of dead rows lie before the heads."""
_SWEEP_S, _SHARE = 10.0, 50
"""A sweep begins so long after the one before, and takes no more than this share of the time."""


class Floors:
    """Remembers heads, and says from where to read."""

    def __init__(self) -> None:
        self.needed: bool = False
        """Whether looks are slow without."""
        self._slow = 0
        self._ask_at: Moment = 0.0
        self._sweep_at: Moment = 0.0
        self._heads: dict[tuple[int, int], deque[tuple[Moment, int]]] = {}
        self._floors: dict[tuple[int, int], int] = {}

    def of(self, routes: Sequence[int]) -> list[int]:
        """Say from which tag on to read.

        Args:
            routes (Sequence[int]): Of which routes.

        Returns:
            list[int]: Ten for each, by priority; 0 reads all.
        """
        if not self.needed:
            return [0] * (_PRIORITIES * len(routes))
        return [self._floors.get((route, priority), 0) for route in routes for priority in range(_PRIORITIES)]

    def oldest_of(self, routes: Sequence[int]) -> list[int]:
        """Say from which id on to read, in the order of putting.

        Args:
            routes (Sequence[int]): Of which routes.

        Returns:
            list[int]: One for each; 0 reads all.
        """
        return [self._floors.get((route, _BY_AGE), 0) if self.needed else 0 for route in routes]

    def looked(self, urgent: Sequence[Head], earliest: Sequence[Head], *, turns: int, took_s: float, now: Moment) -> None:
        """Learn from a look.

        Args:
            urgent (Sequence[Head]): What it found, in order.
            earliest (Sequence[Head]): Who of the others was put first.
            turns (int): How many of those it asked for.
            took_s (float): How long it took, as it seemed.
            now (Moment): The store's time.
        """
        heads: dict[tuple[int, int], int] = {}
        for head in urgent:
            heads.setdefault((head.route, head.priority), head.tag)
        if turns:  # who was not shown was put later than the last who was
            beyond = [earliest[-1].id] if len(earliest) >= turns else []
            for head in (*urgent, *earliest):
                heads[head.route, _BY_AGE] = min([head.id, heads.get((head.route, _BY_AGE), head.id), *beyond])
        for lane, first in heads.items():
            self._note(lane, first, now)
        self._slow = self._slow + 1 if took_s > _SLOW_S else 0

    def to_count(self, now: Moment) -> list[tuple[int, int]]:
        """List the heads before which the server is to count pages, if looks seem slow.

        Args:
            now (Moment): The store's time.

        Returns:
            list[tuple[int, int]]: Route and priority (10 for the order of putting); empty if there is nothing to ask.
        """
        if self.needed or self._slow < _OFTEN or now < self._ask_at:
            return []
        self._ask_at = now + _ASK_S
        return list(self._heads)

    def counted(self, heads: int, pages: int, now: Moment) -> None:
        """Learn how many pages are read to find some heads without floors.

        Args:
            heads (int): How many.
            pages (int): For all of them.
            now (Moment): The store's time.
        """
        many = pages > _PAGES + _PAGES_EACH * heads
        if many and not self.needed:
            self.begin(now)
        elif not many:  # nothing dead lies there, or no more
            self.needed, self._slow = False, 0

    def begin(self, now: Moment) -> None:
        """Begin to use floors.

        Args:
            now (Moment): The store's time.
        """
        self.needed, self._sweep_at = True, now + _SWEEP_S

    def to_sweep(self, now: Moment) -> list[tuple[int, int, int]]:
        """List what a sweep has to look at, if it is time for one.

        Args:
            now (Moment): The store's time.

        Returns:
            list[tuple[int, int, int]]: Route, priority (10 for the order of putting) and floor; empty if it is not time.
        """
        if not self.needed or now < self._sweep_at:
            return []
        self._sweep_at = now + _SWEEP_S
        return [(*lane, floor) for lane, floor in self._floors.items()]

    def swept(self, found: Iterable[tuple[int, int, int]], took_s: float, now: Moment) -> None:
        """Learn from a sweep.

        Args:
            found (Iterable[tuple[int, int, int]]): Route, priority and the first that lies below the floor.
            took_s (float): How long it took.
            now (Moment): The store's time.
        """
        for route, priority, first in found:
            lane = (route, priority)
            self._heads.pop(lane, None)
            self._floors[lane] = min(first, self._floors.get(lane, first))
        self._sweep_at = now + max(_SWEEP_S, _SHARE * took_s)

    def _note(self, lane: tuple[int, int], first: int, now: Moment) -> None:
        seen = self._heads.setdefault(lane, deque())
        if not seen or now - seen[-1][0] >= _APART_S:
            seen.append((now, first))
        while seen and seen[0][0] <= now - _LAG_S:
            self._floors[lane] = seen.popleft()[1]
