"""What time demands, in memory: deadlines first, then waits that took too long, then what is due."""

from __future__ import annotations

import math

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.dead import deadline_passed, waited_too_long
from perdure.messages.limits import GateName
from perdure.messages.message import Move, State
from perdure.messages.store import Tended
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.queues import obstacle
from perdure.stores.inmemory.rows import Row
from perdure.stores.inmemory.views import held_by

_AT_ONCE = 1000
_PLACES = (State.READY, State.LATER, State.WAITING, State.HELD)

__all__ = ["tend"]


def tend(contents: Contents, now: Moment) -> Tended:
    """Do what time demands.

    Args:
        contents (Contents): What the store keeps.
        now (Moment): The store's time.

    Returns:
        Tended: What was done.
    """
    _see_blocks(contents, now)
    _regard_limits(contents)
    return Tended(
        expired=_expire(contents, now),
        gave_up=_give_up(contents, now),
        due=_make_ready(contents, now),
        next_due_at=min(
            (row.wait.until for row in contents.rows.values() if row.state is not State.HELD and row.wait and row.wait.until), default=None
        ),
    )


def _see_blocks(contents: Contents, now: Moment) -> None:
    for key, route in contents.routes.items():
        if obstacle(contents, key, now) is None:
            route.blocked_since = None
        elif route.blocked_since is None:
            route.blocked_since = now


def _regard_limits(contents: Contents) -> None:
    """What can start no longer makes room for others; what can start again may come in."""
    stuck = [row for row in contents.rows.values() if row.state is State.READY and row.gates and contents.flow.is_blocked(row)]
    freed: set[GateName] = set()
    for row in stuck:
        freed |= contents.hold(row, contents.flow.over(row)[0])
    held = {row.held_under for row in contents.rows.values() if row.state is State.HELD}
    contents.admit(freed | {gate for gate in held if gate is not None})


def _expire(contents: Contents, now: Moment) -> int:
    late = [
        row for row in contents.rows.values() if row.state in _PLACES and row.message.deadline is not None and row.message.deadline <= now
    ]
    late.sort(key=lambda row: (row.message.deadline or 0.0, row.message.id))
    for row in late[:_AT_ONCE]:
        _bury(contents, row, deadline_passed(row.message.deadline))
    return len(late[:_AT_ONCE])


def _give_up(contents: Contents, now: Moment) -> int:
    """Those who wait for something first, then those who are held: who ends lets others in, which ends their waiting."""
    gave_up = 0
    for places in ((State.LATER, State.WAITING), (State.HELD,), (State.READY,)):
        for row in sorted((row for row in contents.rows.values() if row.state in places), key=lambda row: _turn(contents, row)):
            if gave_up < _AT_ONCE and row.state in places and _waits_since(contents, row, now) + row.message.max_wait_s <= now:
                reason = held_by(contents, row) or obstacle(contents, row.route, now)
                _bury(contents, row, waited_too_long(row.message.max_wait_s, wait=row.wait, blocked_by=reason))
                gave_up += 1
    return gave_up


def _turn(contents: Contents, row: Row) -> tuple[float, int]:
    if row.state is State.READY:
        return (contents.routes[row.route].id, row.message.id)
    since = row.held_since if row.state is State.HELD else row.waiting_since or 0.0
    return (since + row.message.max_wait_s, row.message.id)


def _waits_since(contents: Contents, row: Row, now: Moment) -> Moment:
    """Since when a message has waited without a stated end; now, if it does not."""
    if row.state is State.HELD:
        return row.held_since
    if row.state is State.READY:
        blocked = contents.routes[row.route].blocked_since
        return now if blocked is None else max(blocked, row.ready_since)
    if row.wait is not None and (row.wait.until is None or row.wait.open_ended) and row.waiting_since is not None:
        return row.waiting_since
    return now


def _make_ready(contents: Contents, now: Moment) -> int:
    due = [row for row in contents.rows.values() if row.state in {State.LATER, State.WAITING} and _until(row) <= now]
    due.sort(key=lambda row: (_until(row), row.message.id))
    for row in due[:_AT_ONCE]:
        contents.move(row, Move.DUE)
    return len(due[:_AT_ONCE])


def _until(row: Row) -> Moment:
    return math.inf if row.wait is None or row.wait.until is None else row.wait.until


def _bury(contents: Contents, row: Row, error: ErrorFacts) -> None:
    row.error = error
    contents.move(row, Move.BURY)
    contents.total(row, "dead")
