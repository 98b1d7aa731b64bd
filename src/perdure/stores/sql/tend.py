"""What time demands: deadlines first, then waits that took too long, then what is due.

A reader looks first; only when something is to be done does the writer do it, a bite in a transaction, so that
nobody who writes beside it waits for long. Deadlines and the end of patience lie in `expiry`, one row for each message that has one.
Messages that lie ready on a blocked route have none, since blocking a route moves no rows: the route
itself knows when the first of them could give up, and is then looked through in bites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from perdure.clock import Moment
from perdure.messages.dead import deadline_passed, waited_too_long
from perdure.messages.message import MessageId, Move, State
from perdure.stores.sql import chores, limits
from perdure.stores.sql.admission import admit_all, become_ready
from perdure.stores.sql.endings import bury
from perdure.stores.sql.obstacles import Obstacles, RouteBook
from perdure.stores.sql.places import place_of, state_of
from perdure.stores.sql.progress import progress_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest
from perdure.stores.sql.views import Viewer

__all__ = [
    "Bitten",
    "Due",
    "Entry",
    "bite",
    "changed_routes",
    "expire",
    "give_up",
    "give_up_one",
    "look",
    "make_ready",
    "note",
]

_LOOK, _NEXT, _NEXT_EVENT, _BLOCKED = (statement(n) for n in ("tend_look", "later_next", "waiting_next", "route_blocks"))
_TIMED_OUT = statement("waiting_due")
_BLOCK, _SWEEPS, _SWEEP, _SWEPT = (statement(n) for n in ("route_block", "sweep_due", "sweep_bite", "sweep_done"))
_EXPIRED, _SEEN, _DUE = (statement(n) for n in ("expiry_due", "expiry_seen", "later_due"))
_WAITED_FOR, _HELD_SINCE = statement("gate_waited_for"), statement("held_since")
_BITE = 100
"""So many messages are looked at in a transaction: some ten milliseconds' work."""
Entry: TypeAlias = tuple[Moment, int]
"""A moment at which somebody must look at a message, and which."""
Due: TypeAlias = tuple[Moment, int, State]
"""A moment that has come, for which message, and where that lies."""
_IDLE = (State.READY, State.LATER, State.WAITING, State.HELD)


class Bitten(NamedTuple):
    """What was done in one transaction."""

    next_due_at: Moment | None
    expired: int = 0
    gave_up: int = 0
    due: int = 0
    chores: Sequence[str] = ()
    """What was claimed with it, and has to be done now."""
    more: bool = False
    """Whether there was no room for all of it."""


def look(run: Run, book: RouteBook, now: Moment) -> tuple[bool, list[int], Moment | None]:
    """See whether there is anything to do.

    Args:
        run (Run): Of a reader.
        book (RouteBook): All routes.
        now (Moment): The store's time.

    Returns:
        tuple[bool, list[int], Moment | None]: Whether there is, the routes that are blocked now and were not when
        somebody last looked, or the other way round, and when the next message becomes due.
    """
    due = run(_LOOK, (now,)).get
    changed = changed_routes(run, book, now)
    return bool(due or changed), changed, _next(run)


def changed_routes(run: Run, book: RouteBook, now: Moment) -> list[int]:
    """List the routes that are blocked now and were not when somebody last looked, or the other way round.

    Args:
        run (Run): Of a reader.
        book (RouteBook): All routes.
        now (Moment): The store's time.

    Returns:
        list[int]: Their numbers.
    """
    known, obstacles = dict(run(_BLOCKED).fetchall()), Obstacles(run, now)
    return [route.id for route in book.all(run) if (obstacles.of(route) is None) != (known[route.id] is None)]


def bite(tx: Transaction, changed: Sequence[int]) -> Bitten:
    """Do a bite of what is to be done: of the later kinds only what the earlier ones leave room for.

    Args:
        tx (Transaction): What is being committed.
        changed (Sequence[int]): The routes whose obstacles have come or gone, as the look has seen; no others are read here.

    Returns:
        Bitten: What it was.
    """
    if not note(tx, changed):
        return Bitten(_next(tx.run))
    tx.fold()
    room, gave_up = _BITE, 0
    late = _entries(tx, "deadline", room)
    expired, room = expire(tx, late), room - len(late)
    for kind in ("patience", "held"):
        tired = _entries(tx, kind, room)
        gave_up, room = gave_up + give_up(tx, kind, tired), room - len(tired)
    swept, room = _sweep(tx, room)
    due = _all_due(tx, room)
    return Bitten(_next(tx.run), expired, gave_up + swept, due, chores.claim(tx), more=room - due <= 0)


@sees_latest
def note(tx: Transaction, changed: Sequence[int]) -> bool:
    """Note which routes are blocked now; what can start no longer makes room for others, what can start again may come in.

    Args:
        tx (Transaction): What is being committed.
        changed (Sequence[int]): The routes whose obstacles have come or gone.

    Returns:
        bool: False if somebody else is tending.
    """
    if not tx.alone():
        return False
    obstacles = Obstacles(tx.run, tx.now)
    for route in changed:
        tx.run(_BLOCK, (route, None if obstacles.of_id(route) is None else tx.now))
    _regard_limits(tx, [route for route in changed if obstacles.of_id(route) != "quarantine"])
    return True


def expire(tx: Transaction, entries: Sequence[Entry]) -> int:
    """Give up messages whose deadline has passed, unless somebody works on them.

    Args:
        tx (Transaction): What is being committed.
        entries (Sequence[Entry]): As they were noted.

    Returns:
        int: How many.
    """
    expired = 0
    for at, message in entries:
        tx.run(_SEEN, ("deadline", at, message))
        place, state = place_of(tx, message), state_of(tx.run, message)
        if place is not None and state in _IDLE:  # who is leased now is entered again when it comes back
            bury(tx, place, state, deadline_passed(place.deadline))
            expired += 1
    return expired


def give_up(tx: Transaction, kind: str, entries: Sequence[Entry]) -> int:
    """Give up messages that have waited too long.

    Args:
        tx (Transaction): What is being committed.
        kind (str): As which they were noted: `patience`, or `held`.
        entries (Sequence[Entry]): As they were noted.

    Returns:
        int: How many.
    """
    gave_up = 0
    for at, message in entries:
        tx.run(_SEEN, (kind, at, message))
        if kind == "held":  # of who was admitted meanwhile nothing is found; if it is held again, that was noted anew
            since = tx.run(_HELD_SINCE, (message,)).get
        else:
            since = progress_of(tx.run, message).waiting_since
            if state_of(tx.run, message) not in {State.LATER, State.WAITING}:
                since = None
        if since is not None:
            gave_up += give_up_one(tx, message, since, None)
    return gave_up


def give_up_one(tx: Transaction, id: int, since: Moment, blocked_by: str | None) -> bool:
    """Give up a message that nobody holds, if it has waited too long.

    Args:
        tx (Transaction): What is being committed.
        id (int): Which.
        since (Moment): Since when it waits.
        blocked_by (str | None): What stands against its route.

    Returns:
        bool: Whether it was given up.
    """
    place = place_of(tx, id)
    if place is None or since + place.max_wait_s > tx.now:
        return False
    view = Viewer(tx.run, tx.now).view(MessageId(id))
    if view.state not in _IDLE:
        return False
    bury(tx, place, view.state, waited_too_long(place.max_wait_s, wait=view.wait, blocked_by=blocked_by or view.held_by))
    return True


def make_ready(tx: Transaction, due: Sequence[Due]) -> int:
    """Let messages lie ready whose moment has come; or whose wait has lasted long enough: their runs go on without the event.

    Args:
        tx (Transaction): What is being committed.
        due (Sequence[Due]): Which, in order.

    Returns:
        int: How many.
    """
    for _, message, state in due:
        place = place_of(tx, message)
        if place is not None:
            become_ready(tx, place, state, Move.DUE)
    return len(due)


def _regard_limits(tx: Transaction, changed: Sequence[int]) -> None:
    """What can start no longer makes room, what can start again may come in; in this order, and before anything else is done."""
    tx.gates.forget_blocks()
    may_admit = limits.make_room(tx)
    for route in sorted(changed):
        if not tx.gates.is_blocked(tx.names.route_by_id(route)):
            may_admit.update(gate for (gate,) in tx.run(_WAITED_FOR, (route,)).fetchall())
    admit_all(tx, may_admit)


def _entries(tx: Transaction, kind: str, most: int) -> list[Entry]:
    return list(tx.run(_EXPIRED, (kind, tx.now, most)).fetchall())


def _sweep(tx: Transaction, room: int) -> tuple[int, int]:
    """How many gave up, and what room is left."""
    gave_up, obstacles = 0, Obstacles(tx.run, tx.now)
    for route, blocked_since, patience_s, swept, found in tx.run(_SWEEPS, (tx.now,)).fetchall() if room else ():
        if not room:
            break
        next_at, bite = tx.now + patience_s if swept == 0 else found, room
        rows = tx.run(_SWEEP, (route, swept, bite)).fetchall()
        room -= len(rows)
        for message, since, max_wait_s in rows:
            ends_at = max(blocked_since, since) + max_wait_s
            if ends_at <= tx.now:
                gave_up += give_up_one(tx, message, ends_at - max_wait_s, obstacles.of_id(route))
            else:
                next_at = min(next_at, ends_at)
        whole = len(rows) < bite
        tx.run(_SWEPT, (route, 0 if whole else rows[-1][0], next_at, next_at if whole else tx.now))
    return gave_up, room


def _all_due(tx: Transaction, room: int) -> int:
    due = [(at, message, State.LATER) for at, message in tx.run(_DUE, (tx.now, room)).fetchall()]
    due += [(at, message, State.WAITING) for at, message in tx.run(_TIMED_OUT, (tx.now, room)).fetchall()]
    return make_ready(tx, sorted(due)[:room])


def _next(run: Run) -> Moment | None:
    return min((at for at in (run(_NEXT).get, run(_NEXT_EVENT).get) if at is not None), default=None)
