"""Queues and lanes: pausing, closing, and what they hold in kept numbers."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.messages.store import Pause, QueueStatus
from perdure.security.audit import Actor
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["close_lane", "counters", "notes", "pause", "statuses"]

_SET, _PAUSED, _CLOSE = statement("queue_set"), statement("queue_list"), statement("lane_close")
_TALLIES, _COUNTERS, _OLDEST, _ROUTES = (statement(n) for n in ("tally_list", "counter_list", "ready_oldest_since", "route_ids"))
_NOTE, _LIFT, _NOTES = statement("pause_note"), statement("pause_lift"), statement("pause_list")
_EARLIEST = statement("ready_earliest_since")
_PRIORITIES = range(10)


def pause(tx: Transaction, queue: str | None, *, paused: bool, why: str | None = None, by: Actor | None = None) -> None:
    """Stop or go on leasing.

    Args:
        tx (Transaction): What is being committed.
        queue (str | None): From which queue; None for everything.
        paused (bool): Whether to stop.
        why (str | None): What to tell whoever asks.
        by (Actor | None): Who does it.
    """
    tx.audit(by, f"{'all' if queue is None else 'queue'}.{'pause' if paused else 'resume'}", queue or "*", why=why)
    if paused:
        tx.run(_NOTE, (queue or "", tx.now, None if by is None else by.who, why))
    else:
        tx.run(_LIFT, (queue or "",))
    if queue is None:
        tx.pause_all(paused=paused)
    else:
        tx.run(_SET, (queue, int(paused)))


def notes(run: Run) -> dict[str, Pause]:
    """Read who paused what.

    Args:
        run (Run): Of a reader.

    Returns:
        dict[str, Pause]: By queue; everything is ''.
    """
    return {queue: Pause(at=at, who=who, why=why) for queue, at, who, why in run(_NOTES)}


def close_lane(tx: Transaction, lane: str, until: Moment, why: str) -> None:
    """Let nothing of a lane start before a moment.

    Args:
        tx (Transaction): What is being committed.
        lane (str): Which.
        until (Moment): When it opens; an earlier one than stands is ignored.
        why (str): Error code.
    """
    tx.run(_CLOSE, (lane, until, why))


def counters(run: Run) -> dict[str, int]:
    """Read the totals of the installation.

    Args:
        run (Run): Of a reader.

    Returns:
        dict[str, int]: By name.
    """
    return dict(run(_COUNTERS).fetchall())


def statuses(run: Run) -> list[QueueStatus]:
    """Describe every queue.

    Args:
        run (Run): Of a reader.

    Returns:
        list[QueueStatus]: By name.
    """
    paused, noted = dict(run(_PAUSED).fetchall()), notes(run)
    numbers: dict[str, dict[str, dict[str, int]]] = {name: {"now": {}, "ever": {}} for name in paused}
    for queue, kind, name, n in run(_TALLIES):
        if n:
            numbers.setdefault(queue, {"now": {}, "ever": {}})[kind][name] = n
    return [
        QueueStatus(
            name=name,
            paused=bool(paused.get(name)),
            pause=noted.get(name),
            counts=numbers[name]["now"],
            totals=numbers[name]["ever"],
            oldest_ready_at=_oldest(run, name) if "ready" in numbers[name]["now"] else None,
        )
        for name in sorted(numbers)
    ]


def _oldest(run: Run, queue: str) -> Moment | None:
    """Who waits longest was put earliest, or is the next of its priority: eleven looks a route."""
    routes = [route for (route,) in run(_ROUTES, (queue,)).fetchall()]
    heads = [run(_OLDEST, (route, priority)).get for route in routes for priority in _PRIORITIES]
    heads += [run(_EARLIEST, (route,)).get for route in routes]
    return min((since for since in heads if since is not None), default=None)
