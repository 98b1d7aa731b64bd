"""Whose turn it is, in memory: fair tags, the lines of sessions, limits.

Nothing is kept that can be counted: how many are under a limit is looked up in all rows, since this store is the
one that others are compared with and must be seen to be right.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure.clock import Moment
from perdure.messages.limits import GateName, Scope, gates_for
from perdure.messages.message import MessageId, State, Wait
from perdure.messages.order import clock_at, tag_admitted, tag_after
from perdure.stores.inmemory.rows import RouteKey, RouteRow, Row

__all__ = ["Flow", "delay"]


class Flow:
    """All that decides who may run.

    Args:
        rows (dict[MessageId, Row]): Every message.
        routes (dict[RouteKey, RouteRow]): Every route.
    """

    def __init__(self, rows: dict[MessageId, Row], routes: dict[RouteKey, RouteRow]) -> None:
        self._rows, self._routes = rows, routes
        self.clocks: dict[int, int] = {}
        self.lasts: dict[tuple[RouteKey, str, int, bool], int] = {}
        self.lines: dict[tuple[str, str], list[Row]] = {}
        self.limits: dict[tuple[Scope, str], int] = {}

    # Tags ------------------------------------------------------------------------------------------

    def leased(self, row: Row) -> None:
        """Note that a message was leased in order.

        Args:
            row (Row): Which.
        """
        self.clocks[row.urgency] = max(self.clocks.get(row.urgency, 0), row.tag)

    def tag(self, row: Row, *, again: bool) -> int:
        """Draw a tag.

        Args:
            row (Row): For which message.
            again (bool): Whether it comes back.

        Returns:
            int: Behind all of its tenant that came, or came back, there.
        """
        line = (row.route, row.message.tenant, row.urgency, again)
        self.lasts[line] = tag_after(self._clock(row), self.lasts.get(line, 0), row.message.cost)
        return self.lasts[line]

    def _clock(self, row: Row) -> int:
        there = [
            other.tag for other in self._in(State.READY) if other is not row and (other.route, other.urgency) == (row.route, row.urgency)
        ]
        return clock_at(self.clocks.get(row.urgency, 0), min(there, default=None))

    def _in(self, *states: State) -> list[Row]:
        return [row for row in self._rows.values() if row.state in states]

    # Sessions --------------------------------------------------------------------------------------

    def join(self, row: Row, now: Moment) -> bool:
        """Join the line of a message's session.

        Args:
            row (Row): The message.
            now (Moment): The store's time.

        Returns:
            bool: True if it is at the head; else it is held from now on.
        """
        if row.line is None:
            return True
        line = self.lines.setdefault(row.line, [row])
        if line[0] is row:
            return True
        line.append(row)
        row.held_since, row.held_under = now, None
        self._hurry(line)
        return False

    def left(self, row: Row, *, gone: bool = False) -> Row | None:
        """Take a message out of its line that has ended.

        Args:
            row (Row): The message.
            gone (bool): Whether it is not kept any more: then nothing stands because of it.

        Returns:
            Row | None: Whose turn has come.
        """
        line = [] if row.line is None else self.lines.get(row.line, [])
        if row not in line or (not gone and line[0] is row and row.state is State.DEAD and row.message.on_dead == "block"):
            return None
        was_head = line[0] is row
        line.remove(row)
        if not line and row.line is not None:
            del self.lines[row.line]
        elif not was_head:
            self._hurry(line)
        return line[0] if was_head and line else None

    def _hurry(self, line: list[Row]) -> None:
        head = line[0]
        urgency = min(row.message.priority for row in line)
        if head.state in (State.READY, State.HELD) and head.urgency != urgency:
            head.urgency = urgency
            head.tag = self.tag(head, again=True)

    # Limits ----------------------------------------------------------------------------------------

    def over(self, row: Row) -> list[GateName]:
        """List the counts that a message has to be in.

        Args:
            row (Row): The message.

        Returns:
            list[GateName]: In the order in which they are asked.
        """
        put = row.message
        return [gate for gate in gates_for(put.queue, put.agent, put.tenant, put.key) if gate[:2] in self.limits]

    def used(self, gate: GateName) -> int:
        """Count who is under a limit.

        Args:
            gate (GateName): The count.

        Returns:
            int: Ready or leased.
        """
        return sum(gate in row.gates for row in self._in(State.READY, State.LEASED))

    def is_full(self, gate: GateName) -> bool:
        """Tell whether there is no room under a limit.

        Args:
            gate (GateName): The count.

        Returns:
            bool: True where as many are ready or leased as may be, or more.
        """
        return gate[:2] in self.limits and self.used(gate) >= self.limits[gate[0], gate[1]]

    def is_blocked(self, row: Row) -> bool:
        """Tell whether tending has found that nothing of a message's route can start.

        Args:
            row (Row): The message.

        Returns:
            bool: False for quarantine, which opens when somebody lies there.
        """
        route = self._routes.get(row.route)
        return not row.route[-1] and route is not None and route.blocked_since is not None

    def enter(self, row: Row, now: Moment, *, again: bool = True, had: Iterable[GateName] = ()) -> State:
        """Decide where a message lies that may run, as far as its session goes.

        Args:
            row (Row): The message.
            now (Moment): The store's time.
            again (bool): Whether it comes back.
            had (Iterable[GateName]): The counts it is in already.

        Returns:
            State: Ready or held.
        """
        line = [row] if row.line is None else self.lines[row.line]
        row.urgency = min(one.message.priority for one in line)
        row.tag = self.tag(row, again=again)
        row.ready_since, row.gates, row.held_under = now, (), None
        if had and not self.is_blocked(row):
            row.gates = tuple(had)
            return State.READY
        full = self._first_full(row)
        if full is not None:
            row.held_since, row.held_under = now, full
            return State.HELD
        row.gates = tuple(self.over(row))
        return State.READY

    def first_held(self, gate: GateName) -> Row | None:
        """Choose who is let in next.

        Args:
            gate (GateName): A count.

        Returns:
            Row | None: With a tag that is not behind the clock, in all its counts; None if nobody may come in.
        """
        while not self.is_full(gate):
            held = [row for row in self._in(State.HELD) if row.held_under == gate and (self._is_lifted(gate) or not self.is_blocked(row))]
            if not held:
                return None
            row = min(held, key=lambda row: (row.urgency, row.tag, row.message.id))
            row.held_under = full = self._first_full(row)
            if full is None:
                row.tag, row.gates = tag_admitted(self._clock(row), row.tag), tuple(self.over(row))
                return row
        return None

    def _is_lifted(self, gate: GateName) -> bool:
        return gate[:2] not in self.limits

    def _first_full(self, row: Row) -> GateName | None:
        """Where nothing can start anyway, nobody takes a slot."""
        over = self.over(row)
        if over and self.is_blocked(row):
            return over[0]
        return next((gate for gate in over if self.is_full(gate)), None)

    def put_off(self, row: Row, now: Moment) -> bool:
        """Tell whether a message whose turn has come still has to wait for its moment.

        Args:
            row (Row): The message.
            now (Moment): The store's time.

        Returns:
            bool: Then it is only late, no longer held.
        """
        return row.wait is not None and row.wait.until is not None and row.wait.until > now


def delay(until: Moment | None) -> Wait | None:
    """Say that a message was put with a delay.

    Args:
        until (Moment | None): Until when.

    Returns:
        Wait | None: None for none.
    """
    return None if until is None else Wait(why="delay", until=until)
