"""Where a message can lie, and how it gets in and out of there.

Each state but the ends has a table, and a message has its row in exactly one of them. Functions here
write that row and nothing else but the moments at which somebody must look at the message again; that
it moved, and what that means, their callers note with `Transaction.move`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts, NotFound
from perdure.messages.dead import QUARANTINE_AT
from perdure.messages.ids import write
from perdure.messages.message import MessageId, Move, State, Wait
from perdure.stores.sql.names import RouteRow
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Place", "become_ready", "enter_ready", "enter_wait", "facts_of", "find", "leave", "place_of", "state_of"]

_PLACE = statement("place_get")
_READY, _LATER, _WAITING = (statement(f"{name}_add") for name in ("ready", "later", "waiting"))
_LEAVE = {
    State.READY: statement("ready_leave"),
    State.LATER: statement("later_leave"),
    State.WAITING: statement("waiting_leave"),
    State.DEAD: statement("outcome_leave"),
}
_STATE, _WATCH = statement("state_get"), statement("expiry_add")


class Place(NamedTuple):
    """What has to be known of a message to move it."""

    id: int
    route: RouteRow
    """The route it was put on; where it lies ready may be that one's quarantine."""
    tenant: int
    priority: int
    deadline: Moment | None
    max_wait_s: float
    parent: int | None = None
    """Whose run sent it."""
    group: int | None = None


def find(tx: Transaction, id: MessageId, tenant: str | None) -> tuple[Place, State]:
    """Find a message and where it lies.

    Args:
        tx (Transaction): What is being committed.
        id (MessageId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        tuple[Place, State]: It.

    Raises:
        NotFound: No such message (of this tenant).
    """
    place = place_of(tx, id)
    if place is None or tenant not in (None, tx.names.tenant_name(place.tenant)):
        raise NotFound(f"there is no message {write(id)!r}", hint="Ids are shown by `perdure messages`.")
    return place, state_of(tx.run, id)


def place_of(tx: Transaction, id: int) -> Place | None:
    """Read what has to be known to move a message.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.

    Returns:
        Place | None: None if there is no such message.
    """
    row = tx.run(_PLACE, (id,)).fetchone()
    return None if row is None else Place(id, tx.names.route_by_id(row[0]), *row[1:])


def state_of(run: Run, id: int) -> State:
    """Tell where a message lies that exists.

    Args:
        run (Run): Of a reader or a transaction.
        id (int): Which.

    Returns:
        State: Where.
    """
    return State(run(_STATE, (id,)).get)


def leave(tx: Transaction, place: Place, state: State, crashes: int) -> None:
    """Take a message out of where it lies.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies: ready, later, waiting or dead.
        crashes (int): Its crashes, which say on which route it lies ready.
    """
    if state is State.READY:
        tx.run(_LEAVE[state], (_entry(tx, place, crashes).id, place.id))
    else:
        tx.run(_LEAVE[state], (place.id,))


def enter_ready(tx: Transaction, place: Place, crashes: int) -> None:
    """Let a message lie ready, behind all of its priority.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        crashes (int): Two or more send it into quarantine.
    """
    tx.run(_READY, (_entry(tx, place, crashes).id, place.priority, tx.number(), place.id, place.tenant, tx.now))
    _watch_deadline(tx, place)


def enter_wait(tx: Transaction, place: Place, wait: Wait, waiting_since: Moment | None) -> None:
    """Let a message wait, for a moment or for what it says.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        wait (Wait): For what.
        waiting_since (Moment | None): Since when it has been in waits without a stated end.
    """
    text = msgspec.json.encode(wait)
    if wait.until is None or wait.events:
        tx.run(_WAITING, (place.id, place.route.id, place.tenant, text, wait.until))
    else:
        tx.run(_LATER, (place.id, place.route.id, place.tenant, wait.until, text))
    if waiting_since is not None:
        tx.run(_WATCH, ("patience", waiting_since + place.max_wait_s, place.id))
    _watch_deadline(tx, place)


def facts_of(tx: Transaction, place: Place, attempt: int, error: ErrorFacts | None = None) -> dict[str, Any]:
    """Say what is told of a message that moves.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        attempt (int): Attempts used, the one under way included.
        error (ErrorFacts | None): What it has to do with.

    Returns:
        dict[str, Any]: The facts of the event.
    """
    return {
        "message": place.id,
        "agent": place.route.agent,
        "queue": place.route.queue,
        "tenant": tx.names.tenant_name(place.tenant),
        "attempt": attempt,
        "code": None if error is None else error.code,
    }


def become_ready(tx: Transaction, place: Place, state: State, move: Move) -> None:
    """Let a message lie ready that nobody holds: its moment, or what it waited for, is there.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies.
        move (Move): `DUE`, which is not told, or `WAKE`, with which its patience begins anew.
    """
    progress = progress_of(tx.run, place.id)
    tx.move(place.id, place.route, state, move, facts_of(tx, place, progress.used) if move is Move.WAKE else None)
    leave(tx, place, state, progress.crashes)
    if move is Move.WAKE and progress.waiting_since is not None:
        keep_progress(tx, place.id, progress._replace(waiting_since=None))
    enter_ready(tx, place, progress.crashes)


def _entry(tx: Transaction, place: Place, crashes: int) -> RouteRow:
    if crashes < QUARANTINE_AT:
        return place.route
    return tx.names.route((*place.route[1:5], 1), patience_s=place.max_wait_s, now=tx.now)


def _watch_deadline(tx: Transaction, place: Place) -> None:
    if place.deadline is not None:
        tx.run(_WATCH, ("deadline", place.deadline, place.id))
