"""Who waits for whom, in memory: looked at afresh each time something comes, because that can be seen to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.messages.message import ENDS, GroupId, MessageId, Move, State, Wait

if TYPE_CHECKING:
    from perdure.stores.inmemory.contents import Contents
    from perdure.stores.inmemory.rows import Row

__all__ = ["close_if_all_ended", "ended", "has_come", "wake_for"]


def ended(contents: Contents, row: Row) -> None:
    """Tell who waits for a message that it has ended.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.
    """
    parent = None if row.message.parent is None else contents.rows.get(row.message.parent)
    if parent is not None and parent.wait is not None and has_come(contents, parent, parent.wait):
        wake_for(contents, parent, *parent.wait.events)
    if row.message.group is not None:
        close_if_all_ended(contents, row.message.group)


def has_come(contents: Contents, row: Row, wait: Wait) -> bool:
    """Tell whether any of a wait's events is there.

    Args:
        contents (Contents): What the store keeps.
        row (Row): Who waits.
        wait (Wait): For what.

    Returns:
        bool: True if waiting would be in vain.
    """
    return any(_is_there(contents, row, *event.split(":", 1)) for event in wait.events)


def wake_for(contents: Contents, row: Row, *events: str) -> None:
    """Wake a message if it waits for one of some events.

    Args:
        contents (Contents): What the store keeps.
        row (Row): The message.
        *events (str): What has come.
    """
    if row.state is State.WAITING and row.wait is not None and set(events) & set(row.wait.events):
        contents.move(row, Move.WAKE)


def close_if_all_ended(contents: Contents, id: GroupId) -> None:
    """Let the join of a group run if all of its members have ended, once.

    Args:
        contents (Contents): What the store keeps.
        id (GroupId): Which.
    """
    group = contents.groups[id]
    if not group.open and group.ended_at is None and all(contents.rows[one].state in ENDS for one in group.members):
        group.ended_at = contents.clock.now()
        if group.then is not None:
            wake_for(contents, contents.rows[group.then], f"group:{id}")


def _is_there(contents: Contents, row: Row, kind: str, what: str) -> bool:
    if kind == "signal":
        return any(signal.name == what and signal.step is None for signal in row.signals)
    if kind == "children":
        awaited: set[MessageId] = contents.awaited.get((row.message.id, int(what)), set())
        return all(contents.rows[child].state in ENDS for child in awaited)
    return False
