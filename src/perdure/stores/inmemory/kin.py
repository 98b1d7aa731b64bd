"""Who waits for whom, in memory: looked at afresh each time something comes, because that can be seen to be right."""

from __future__ import annotations

from collections.abc import Callable

from perdure.clock import Clock
from perdure.messages.message import ENDS, GroupId, MessageId, Move, State, Wait
from perdure.stores.inmemory.rows import GroupRow, Row

__all__ = ["Kin"]


class Kin:
    """Children and members, and who is told of them.

    Args:
        rows (dict[MessageId, Row]): All messages.
        move (Callable[[Row, Move], None]): Brings one to another place.
        clock (Clock): The store's time.
    """

    def __init__(self, rows: dict[MessageId, Row], move: Callable[[Row, Move], None], clock: Clock) -> None:
        self._rows, self._move, self._clock = rows, move, clock
        self.groups: dict[GroupId, GroupRow] = {}
        self.awaited: dict[tuple[MessageId, int], set[MessageId]] = {}
        """Message and step to the children it waits for."""

    def ended(self, row: Row) -> None:
        """Tell who waits for a message that it has ended.

        Args:
            row (Row): The message.
        """
        parent = None if row.message.parent is None else self._rows.get(row.message.parent)
        if parent is not None and parent.wait is not None and self.has_come(parent, parent.wait):
            self.wake_for(parent, *parent.wait.events)
        if row.message.group is not None and row.message.group in self.groups:
            self.close_if_all_ended(row.message.group)

    def has_come(self, row: Row, wait: Wait) -> bool:
        """Tell whether any of a wait's events is there.

        Args:
            row (Row): Who waits.
            wait (Wait): For what.

        Returns:
            bool: True if waiting would be in vain.
        """
        return any(self._is_there(row, *event.split(":", 1)) for event in wait.events)

    def wake_for(self, row: Row, *events: str) -> None:
        """Wake a message if it waits for one of some events.

        Args:
            row (Row): The message.
            *events (str): What has come.
        """
        if row.state is State.WAITING and row.wait is not None and set(events) & set(row.wait.events):
            self._move(row, Move.WAKE)

    def close_if_all_ended(self, id: GroupId) -> None:
        """Let the join of a group run if all of its members have ended, once.

        Args:
            id (GroupId): Which.
        """
        group = self.groups[id]
        if not group.open and group.ended_at is None and all(self._rows[one].state in ENDS for one in group.members):
            group.ended_at = self._clock.now()
            if group.then is not None:
                self.wake_for(self._rows[group.then], f"group:{id}")

    def is_expected(self, row: Row) -> bool:
        """Tell whether a group is going to read what came of a message.

        Args:
            row (Row): The message.

        Returns:
            bool: Until all members and their join have ended.
        """
        group = None if row.message.group is None else self.groups.get(row.message.group)
        join = None if group is None or group.then is None else self._rows.get(group.then)
        return group is not None and (group.ended_at is None or (join is not None and join.state not in ENDS))

    def forget(self, row: Row) -> None:
        """Forget a message that has ended.

        Args:
            row (Row): It.
        """
        group = None if row.message.group is None else self.groups.get(row.message.group)
        if group is not None and row.message.group is not None and row.message.id in group.members:
            group.members.remove(row.message.id)
            group.gone[row.state] += 1
            if not group.members and group.ended_at is not None:
                del self.groups[row.message.group]

    def _is_there(self, row: Row, kind: str, what: str) -> bool:
        if kind == "signal":
            return any(signal.name == what and signal.step is None for signal in row.signals)
        if kind == "children":
            awaited = self.awaited.get((row.message.id, int(what)), set())
            return all(self._rows[child].state in ENDS for child in awaited if child in self._rows)
        return False
