"""Fair tags in one transaction: what it reads of clocks and tenants it reads once, and writes once before the commit.

What one transaction knew, the next may take over (`TagMemory`), if nobody else has written in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.messages.order import clock_at, tag_admitted, tag_after
from perdure.stores.sql.statements import Run, statement

__all__ = ["TagMemory", "Tags"]

_CLOCK, _HEAD, _LAST = statement("clock_get"), statement("ready_head_tag"), statement("fair_get")
_SET_CLOCK = statement("clock_set")
_Line = tuple[int, int, int, int]
"""Route, tenant, priority, and 1 for those that come back."""
_MOST_KNOWN = 10_000
_Marks = tuple[dict[int, int], set[int], dict[_Line, int], set[_Line]]


class TagMemory:
    """What is known of clocks, tenants and heads, as of the last commit."""

    def __init__(self) -> None:
        self.clocks: dict[int, int] = {}
        self.lasts: dict[_Line, int] = {}
        self.here: dict[tuple[int, int], int] = {}


class Tags:
    """Draws tags (`messages/order.py`).

    Args:
        run (Run): Of the transaction.
        memory (TagMemory | None): What is known already, and still true.
    """

    def __init__(self, run: Run, memory: TagMemory | None = None) -> None:
        self._run: Run = run
        memory = memory or TagMemory()
        self._clocks, self._lasts, self._here = memory.clocks, memory.lasts, memory.here
        self._quick: dict[_Line, int] = {}
        """The last tags of lines that nothing was taken from since: not behind the clock."""
        self._moved: set[int] = set()
        self._drawn: set[_Line] = set()

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
        line = (route, tenant, priority, 0)
        last = self._quick.get(line)
        if last is None:
            last = self._draw(line, 0)
        tag = self._quick[line] = last + cost
        return tag

    def again(self, route: int, tenant: int, priority: int, cost: int) -> int:
        """Draw the tag of a message that comes back.

        Args:
            route (int): Where it will lie ready.
            tenant (int): Whose it is.
            priority (int): With which.
            cost (int): How much of its share it takes.

        Returns:
            int: Behind all of its tenant that came back there.
        """
        return self._draw((route, tenant, priority, 1), cost)

    def again_many(self, wishes: Sequence[tuple[_Line, int]]) -> list[int]:
        """Draw the tags of messages that come back.

        Args:
            wishes (Sequence[tuple[_Line, int]]): For each route, tenant, priority and 1, and its cost.

        Returns:
            list[int]: One for each, in their order.
        """
        return [self._draw(line, cost) for line, cost in wishes]

    def admitted(self, route: int, priority: int, tag: int) -> int:
        """Choose the tag of a message that was held.

        Args:
            route (int): Where it will lie ready.
            priority (int): With which.
            tag (int): The one it got when it came.

        Returns:
            int: Not behind the clock.
        """
        return tag_admitted(self._clock_at(route, priority), tag)

    def leased(self, priority: int, tag: int) -> None:
        """Note that messages were leased in order.

        Args:
            priority (int): Their priority.
            tag (int): The largest tag.
        """
        self.left()
        if tag > self._clock(priority):
            self._clocks[priority] = tag
            self._moved.add(priority)

    def left(self) -> None:
        """Note that something lies ready no more, which may have been the head of its route."""
        self._here.clear()
        if self._quick:
            self._lasts.update(self._quick)
            self._quick.clear()

    def flush(self) -> list[tuple[_Line, int]]:
        """Write how far the clocks are.

        Returns:
            list[tuple[_Line, int]]: The last tags that were drawn, to be kept.
        """
        self._lasts.update(self._quick)
        for priority in self._moved:
            self._run(_SET_CLOCK, (priority, self._clocks[priority]))
        return [(line, self._lasts[line]) for line in self._drawn]

    def memory(self) -> TagMemory:
        """Hand on what is known now.

        Returns:
            TagMemory: For the next transaction.
        """
        known = TagMemory()
        if len(self._lasts) <= _MOST_KNOWN:
            known.clocks, known.lasts, known.here = self._clocks, self._lasts, self._here
        return known

    def marks(self) -> _Marks:
        """Remember what is gathered so far.

        Returns:
            _Marks: For `back_to`.
        """
        return dict(self._clocks), set(self._moved), self._lasts | self._quick, set(self._drawn)

    def back_to(self, marks: _Marks) -> None:
        """Forget what a call that failed had gathered.

        Args:
            marks (_Marks): From before it.
        """
        self._clocks, self._moved, self._lasts, self._drawn = marks
        self._here, self._quick = {}, {}

    def _draw(self, line: _Line, cost: int) -> int:
        last = self._lasts.get(line)
        if last is None:
            last = self._run(_LAST, line).get or 0
        self._drawn.add(line)
        tag = self._lasts[line] = tag_after(self._clock_at(line[0], line[2]), last, cost)
        return tag

    def _clock(self, priority: int) -> int:
        clock = self._clocks.get(priority)
        if clock is None:
            clock = self._clocks[priority] = int(self._run(_CLOCK, (priority,)).get or 0)
        return clock

    def _clock_at(self, route: int, priority: int) -> int:
        """Read once for many: what is put never moves it, and what is taken forgets it."""
        here = self._here.get((route, priority))
        if here is None:
            here = self._here[route, priority] = clock_at(self._clock(priority), self._run(_HEAD, (route, priority)).get)
        return here
