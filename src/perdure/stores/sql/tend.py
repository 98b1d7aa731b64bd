"""What time demands: deadlines first, then waits that took too long, then what is due.

A reader looks first; only when something is to be done does the writer do it, a thousand messages of a
kind at a time. Deadlines and the end of patience lie in `expiry`, one row for each message that has one.
Messages that lie ready on a blocked route have none, since blocking a route moves no rows: the route
itself knows when the first of them could give up, and is then looked through in bites.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.clock import Moment
from perdure.messages.dead import deadline_passed, waited_too_long
from perdure.messages.message import MessageId, Move, State
from perdure.messages.store import Tended
from perdure.stores.sql import chores
from perdure.stores.sql.admission import admit_all, become_ready
from perdure.stores.sql.endings import bury
from perdure.stores.sql.obstacles import Obstacles, RouteBook
from perdure.stores.sql.places import place_of, state_of
from perdure.stores.sql.progress import progress_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sql.views import Viewer

__all__ = ["look", "tend"]

_LOOK, _NEXT, _NEXT_EVENT, _BLOCKED = (statement(n) for n in ("tend_look", "later_next", "waiting_next", "route_blocks"))
_TIMED_OUT = statement("waiting_due")
_BLOCK, _SWEEPS, _SWEEP, _SWEPT = (statement(n) for n in ("route_block", "sweep_due", "sweep_bite", "sweep_done"))
_EXPIRED, _SEEN, _DUE, _FORGET = (statement(n) for n in ("expiry_due", "expiry_seen", "later_due", "change_forget"))
_WAITED_FOR, _HELD_SINCE = statement("gate_waited_for"), statement("held_since")
_AT_ONCE = 1000
_CHANGES_KEPT_S = 24 * 3600.0
_IDLE = (State.READY, State.LATER, State.WAITING, State.HELD)


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
    due = run(_LOOK, (now, now - _CHANGES_KEPT_S)).get
    known, obstacles = dict(run(_BLOCKED).fetchall()), Obstacles(run, now)
    changed = [route.id for route in book.all(run) if (obstacles.of(route) is None) != (known[route.id] is None)]
    return bool(due or changed), changed, _next(run)


def tend(tx: Transaction, changed: Sequence[int]) -> Tended:
    """Do what is to be done.

    Args:
        tx (Transaction): What is being committed.
        changed (Sequence[int]): The routes whose obstacles have come or gone, as the look has seen; no others are read here.

    Returns:
        Tended: What it was.
    """
    if not tx.alone():
        return Tended(next_due_at=_next(tx.run))
    obstacles = Obstacles(tx.run, tx.now)
    for route in changed:
        tx.run(_BLOCK, (route, None if obstacles.of_id(route) is None else tx.now))
    tx.fold()
    _regard_limits(tx, [route for route in changed if obstacles.of_id(route) != "quarantine"])
    chores.look_after(tx)
    tx.run(_FORGET, (tx.now - _CHANGES_KEPT_S,))
    expired, gave_up = _expire(tx), _give_up(tx)
    gave_up += _sweep(tx, _AT_ONCE - gave_up)
    return Tended(expired=expired, gave_up=gave_up, due=_make_ready(tx), next_due_at=_next(tx.run))


def _regard_limits(tx: Transaction, changed: Sequence[int]) -> None:
    """What can start again may come in; what can start no longer makes room for others (`limits.go_on`)."""
    tx.gates.forget_blocks()
    may_admit: set[int] = set()
    for route in sorted(changed):
        if not tx.gates.is_blocked(tx.names.route_by_id(route)):
            may_admit.update(gate for (gate,) in tx.run(_WAITED_FOR, (route,)).fetchall())
    admit_all(tx, may_admit)


def _expire(tx: Transaction) -> int:
    expired = 0
    for at, message in tx.run(_EXPIRED, ("deadline", tx.now, _AT_ONCE)).fetchall():
        tx.run(_SEEN, ("deadline", at, message))
        place, state = place_of(tx, message), state_of(tx.run, message)
        if place is not None and state in _IDLE:  # who is leased now is entered again when it comes back
            bury(tx, place, state, deadline_passed(place.deadline))
            expired += 1
    return expired


def _give_up(tx: Transaction) -> int:
    gave_up = 0
    for at, message in tx.run(_EXPIRED, ("patience", tx.now, _AT_ONCE)).fetchall():
        tx.run(_SEEN, ("patience", at, message))
        since = progress_of(tx.run, message).waiting_since
        state = state_of(tx.run, message)
        if since is not None and state in {State.LATER, State.WAITING}:
            gave_up += _has_given_up(tx, message, since, None)
    for at, message in tx.run(_EXPIRED, ("held", tx.now, _AT_ONCE - gave_up)).fetchall():
        tx.run(_SEEN, ("held", at, message))
        since = tx.run(_HELD_SINCE, (message,)).get
        if since is not None:  # else it was admitted meanwhile; if it is held again, that was noted anew
            gave_up += _has_given_up(tx, message, since, None)
    return gave_up


def _has_given_up(tx: Transaction, id: int, since: Moment, blocked_by: str | None) -> bool:
    view = Viewer(tx.run, tx.now).view(MessageId(id))
    place = place_of(tx, id)
    if place is None or since + place.max_wait_s > tx.now:
        return False
    bury(tx, place, view.state, waited_too_long(view.message, wait=view.wait, blocked_by=blocked_by or view.held_by))
    return True


def _sweep(tx: Transaction, room: int) -> int:
    gave_up, obstacles = 0, Obstacles(tx.run, tx.now)
    for route, blocked_since, patience_s, swept, found in tx.run(_SWEEPS, (tx.now,)).fetchall():
        if gave_up >= room:
            break
        next_at = tx.now + patience_s if swept == 0 else found
        bite = room - gave_up
        rows = tx.run(_SWEEP, (route, swept, bite)).fetchall()
        for message, since, max_wait_s in rows:
            ends_at = max(blocked_since, since) + max_wait_s
            if ends_at <= tx.now:
                gave_up += _has_given_up(tx, message, ends_at - max_wait_s, obstacles.of_id(route))
            else:
                next_at = min(next_at, ends_at)
        whole = len(rows) < bite
        tx.run(_SWEPT, (route, 0 if whole else rows[-1][0], next_at, next_at if whole else tx.now))
    return gave_up


def _make_ready(tx: Transaction) -> int:
    """Moments that have come, and waits for an event that have lasted long enough: their runs go on without it."""
    due = [(at, message, State.LATER) for at, message in tx.run(_DUE, (tx.now, _AT_ONCE)).fetchall()]
    due += [(at, message, State.WAITING) for at, message in tx.run(_TIMED_OUT, (tx.now, _AT_ONCE)).fetchall()]
    due.sort()
    for _, message, state in due[:_AT_ONCE]:
        place = place_of(tx, message)
        if place is not None:
            become_ready(tx, place, state, Move.DUE)
    return len(due[:_AT_ONCE])


def _next(run: Run) -> Moment | None:
    return min((at for at in (run(_NEXT).get, run(_NEXT_EVENT).get) if at is not None), default=None)
