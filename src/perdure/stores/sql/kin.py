"""Who belongs to whom: children to the run that sent them, members to their group. Told when one of them ends."""

from __future__ import annotations

import msgspec

from perdure.messages.message import MessageId, Move, State, Wait
from perdure.stores.sql.admission import become_ready
from perdure.stores.sql.places import Place, place_of, state_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["ended", "revived", "wake_for"]

_AWAITS, _AWAITED, _DROP_AWAITED = statement("awaits_drop"), statement("awaited_touch"), statement("awaited_drop")
_CHILD = statement("child_touch")
_COUNT, _GROUP_ENDS = statement("group_count"), statement("group_end")
_WAITING = statement("view_waiting")
_decode_wait = msgspec.json.Decoder(Wait).decode


def ended(tx: Transaction, place: Place, state: State) -> None:
    """Tell who waits for a message that it has ended.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): How it ended.
    """
    if place.parent is not None:
        tx.run(_CHILD, (place.id,)).fetchall()
        for parent, step in tx.run(_AWAITS, (place.id,)).fetchall():
            if tx.run(_AWAITED, (1, parent, step)).get == 0 and not wake_for(tx, parent, f"children:{step}"):
                _forget_if_over(tx, parent, step)
    if place.group is not None:
        counts = (int(state is State.DONE), int(state is State.DEAD), int(state is State.CANCELLED))
        row = tx.run(_COUNT, (place.group, 0, *counts, place.id)).fetchone()
        if row is not None:
            close_if_all_ended(tx, place.group, *row)


def revived(tx: Transaction, place: Place) -> None:
    """Note that a dead letter lives again; a join that has begun stays begun.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
    """
    if place.group is not None:
        tx.run(_COUNT, (place.group, 0, 0, -1, 0, place.id)).fetchall()


def close_if_all_ended(tx: Transaction, group: int, is_open: int, left: int) -> None:
    """Let the join of a group run if all of its members have ended, once.

    Args:
        tx (Transaction): What is being committed.
        group (int): Which.
        is_open (int): Whether more will follow.
        left (int): How many members have not ended.
    """
    if is_open or left:
        return
    row = tx.run(_GROUP_ENDS, (tx.now, group)).fetchone()
    if row is not None and row[0] is not None:
        wake_for(tx, row[0], f"group:{group}")


def wake_for(tx: Transaction, id: int, event: str) -> bool:
    """Wake a message if it waits for an event.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.
        event (str): What has come.

    Returns:
        bool: Whether it was woken.
    """
    text = tx.run(_WAITING, (id,)).get
    if text is None or event not in _decode_wait(text).events:
        return False
    place = place_of(tx, id)
    if place is None:
        return False
    become_ready(tx, place, State.WAITING, Move.WAKE)
    return True


def _forget_if_over(tx: Transaction, parent: int, step: int) -> None:
    if place_of(tx, parent) is None or state_of(tx.run, MessageId(parent)) in {State.DONE, State.DEAD, State.CANCELLED}:
        tx.run(_DROP_AWAITED, (parent, step))
