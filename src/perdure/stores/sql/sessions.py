"""Sessions: of each line only the head may run; whoever is behind it is held, in the order of putting.

What the head does - wait, fail, be tried again - concerns nobody else; when it ends, the next one's turn has come.
Each of these costs the same however long the line is.
"""

from __future__ import annotations

from perdure.clock import Moment
from perdure.messages.message import Move, State
from perdure.stores.sql.admission import enter_ready, leave, reprioritise, watch_held
from perdure.stores.sql.lines import Line, line_of
from perdure.stores.sql.names import RouteRow
from perdure.stores.sql.places import Place, facts_of, known_place
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["join", "leave_line"]

_ADD, _DROP, _NEXT = statement("session_add"), statement("session_drop"), statement("session_next")
_SET, _MOST_URGENT = statement("session_set"), statement("session_most_urgent")
_HOLD, _LATER = statement("held_add"), statement("later_add")


def join(tx: Transaction, place: Place, entry: RouteRow, *, turn: int, due_at: Moment | None = None) -> bool:
    """Join the line of a message's session.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message; without a session it is always at the head.
        entry (RouteRow): Where it would lie ready.
        turn (int): Its place in the line: larger than any in it.
        due_at (Moment | None): Before when it shall not run.

    Returns:
        bool: True if it is at the head. False if it is held behind others, which is written.
    """
    if place.session is None:
        return True
    line = line_of(tx, place.tenant, place.session)
    if line is None:
        tx.run(_ADD, (place.tenant, place.session, place.id, place.priority))
        return True
    if line.head == place.id:
        _hurry(tx, line, place, _most_urgent(tx, line, place.priority))  # it may have been edited while it was dead
        return True
    tx.run(_HOLD, (place.id, entry.id, place.tenant, place.priority, turn, tx.now, None, line.id, due_at))
    watch_held(tx, place, tx.now)
    if place.priority < line.urgency:
        _hurry(tx, line, known_place(tx, line.head), place.priority)
    return False


def leave_line(tx: Transaction, place: Place, state: State) -> None:
    """Let the line of a message go on that has ended, or is gone.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message; nothing happens if it has no session.
        state (State): How it ended. A dead letter that blocks stays at the head.
    """
    line = None if place.session is None else line_of(tx, place.tenant, place.session)
    if line is None:
        return
    if line.head != place.id:
        if place.priority == line.urgency:
            head = known_place(tx, line.head)
            _hurry(tx, line, head, _most_urgent(tx, line, head.priority))
    elif state is not State.DEAD or place.on_dead != "block":
        _next(tx, line)


def _next(tx: Transaction, line: Line) -> None:
    row = tx.run(_NEXT, (line.id,)).fetchone()
    if row is None:
        tx.run(_DROP, (line.id,))
        return
    head, due_at = row
    place = known_place(tx, head)
    leave(tx, place, State.HELD, 0)
    tx.run(_SET, (line.id, head, _most_urgent(tx, line, place.priority)))
    if due_at is not None and due_at > tx.now:
        tx.run(_LATER, (head, place.route.id, place.tenant, due_at, None))
        tx.move(head, place.route, State.HELD, Move.DEFER)
    elif enter_ready(tx, place, 0) is State.READY:
        tx.move(head, place.route, State.HELD, Move.ADMIT, facts_of(tx, place, 0))


def _most_urgent(tx: Transaction, line: Line, head: int) -> int:
    rest = tx.run(_MOST_URGENT, (line.id,)).get
    return head if rest is None else min(head, rest)


def _hurry(tx: Transaction, line: Line, head: Place, urgency: int) -> None:
    """The line has another priority now, and so has its head, if that lies ready or waits for a limit."""
    if urgency != line.urgency:
        tx.run(_SET, (line.id, head.id, urgency))
        reprioritise(tx, head, urgency)
