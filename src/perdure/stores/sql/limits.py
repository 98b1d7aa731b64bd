"""Limits: set and lifted while everything runs.

A new limit finds messages that are ready or leased already. Those leased count under it; those ready are looked
through in the order of putting, and keep their place while there is room or are held. The look goes on in bites:
`cap.swept` says how far it has come. With many writers this sees the newest of each row and steps over those that
others are just moving, since a backlog that is being worked on never holds still.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any

from perdure.messages.limits import Limit, LimitStatus, Scope
from perdure.messages.message import Move, State
from perdure.stores.sql.admission import Rank, admit, admit_all, hold
from perdure.stores.sql.gates import ids_in, text_of
from perdure.stores.sql.names import CapRow
from perdure.stores.sql.places import facts_of, known_place
from perdure.stores.sql.progress import progress_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["HOURLY_S", "drop_limit", "go_on", "limits", "make_room", "reconcile", "set_limit", "unfinished"]

_LIST, _GET, _ADD, _SET = statement("cap_list"), statement("cap_get"), statement("cap_add"), statement("cap_set")
_SWEPT, _DROP, _STATUS, _CHANGED = statement("cap_swept"), statement("cap_drop"), statement("cap_status"), statement("caps_changed")
_GATES_OF, _DIRTY = statement("gate_all"), statement("gate_dirty")
_LEASED, _READY, _READY_OF = statement("sweep_leased"), statement("sweep_ready"), statement("sweep_ready_of")
_LEASE_GATES, _READY_GATES, _LIMITED = statement("lease_set_gates"), statement("ready_set_gates"), statement("ready_limited")
_LEAVE, _ROUTES, _TENANT = statement("ready_leave"), statement("route_list"), statement("tenant_find")
_IN_READY, _IN_LEASE, _IN_HELD, _NUMBERS = (statement(name) for name in ("gates_ready", "gates_leased", "gates_held", "gate_numbers"))
_GATE_DROP, _PLACE = statement("gate_drop"), statement("ready_place")
_BEGIN, _UNFINISHED = statement("chore_begin"), statement("limits_unfinished")
_ROOM_WANTED, _ROOM_MADE = statement("room_wanted"), statement("room_made")
_BITE = 1000
HOURLY_S = 3600.0


def limits(run: Run) -> list[LimitStatus]:
    """List the limits.

    Args:
        run (Run): Of a reader.

    Returns:
        list[LimitStatus]: By scope and name.
    """
    return [
        LimitStatus(limit=Limit(scope=Scope(scope), name=name, at_once=at_once), used=used, held=held)
        for scope, name, at_once, used, held in run(_STATUS)
    ]


@sees_latest
def set_limit(tx: Transaction, limit: Limit) -> None:
    """Let only so many run at once.

    Args:
        tx (Transaction): What is being committed.
        limit (Limit): In place of the one of its scope and name.
    """
    row = tx.run(_GET, (limit.scope, limit.name)).fetchone()
    cap = CapRow(*(row or tx.run(_ADD, (limit.scope, limit.name, limit.at_once)).fetchone()))
    new = row is None or cap.at_once is None
    tx.run(_SET, (cap.id, limit.at_once))
    if new:
        cap = cap._replace(swept=0, settled_at=tx.now + tx.settling_s)
    tx.gates.changed(tx.run(_CHANGED).get)
    if new:
        tx.run(_BEGIN, ("gates", tx.now + HOURLY_S))
        _sweep(tx, cap, min(_BITE, tx.bite))
    _open(tx, cap)


@sees_latest
def drop_limit(tx: Transaction, scope: Scope, name: str) -> bool:
    """Lift a limit.

    Args:
        tx (Transaction): What is being committed.
        scope (Scope): Of what kind.
        name (str): Of whom.

    Returns:
        bool: Whether there was one.
    """
    row = tx.run(_GET, (scope, name)).fetchone()
    if row is None or CapRow(*row).at_once is None:
        return False
    cap = CapRow(*row)
    tx.run(_SET, (cap.id, None))
    tx.run(_SWEPT, (cap.id, None, 0.0))
    tx.gates.changed(tx.run(_CHANGED).get)
    _open(tx, cap)
    _forget_lifted(tx, cap.id)
    return True


def unfinished(run: Run) -> bool:
    """Tell whether something was too much for one transaction.

    Args:
        run (Run): Of a reader.

    Returns:
        bool: Whether there is anything to `go_on` with.
    """
    return bool(run(_UNFINISHED).get)


@sees_latest
def go_on(tx: Transaction) -> None:
    """Go on with what was too much for one transaction: a bite of each.

    Args:
        tx (Transaction): What is being committed.
    """
    if not tx.alone():
        return
    for row in tx.run(_LIST).fetchall():
        cap = CapRow(*row)
        if cap.swept is not None:
            _sweep(tx, cap, min(_BITE, tx.bite))
    admit_all(tx, make_room(tx))
    left = _BITE
    for (gate,) in tx.run(_DIRTY, (_BITE,)).fetchall():
        if left > 0:
            left -= admit(tx, gate, most=left)
    for row in tx.run(_LIST).fetchall():
        cap = CapRow(*row)
        if cap.at_once is None:
            _forget_lifted(tx, cap.id)


def make_room(tx: Transaction) -> set[int]:
    """Hold what is ready under a limit where nothing can start, so that others have its place: a bite, begun when a route is blocked.

    Args:
        tx (Transaction): What is being committed.

    Returns:
        set[int]: The counts that may have room for others now; to be admitted by the caller.
    """
    bite, freed = min(_BITE, tx.bite), set[int]()
    for route, blocked_since, after in tx.run(_ROOM_WANTED).fetchall():
        if not bite:
            break
        rows = tx.run(_LIMITED, (route, after, bite)).fetchall()
        for message, priority, tag, text in rows:
            freed.update(_give_up_place(tx, message, route, Rank(priority, tag), text))
        again = 0 if tx.now < blocked_since + tx.settling_s else None  # somebody may be putting who has not seen that it is blocked
        tx.run(_ROOM_MADE, (route, rows[-1][0] if len(rows) == bite else again))
        bite -= len(rows)
    return freed


def reconcile(tx: Transaction) -> int:
    """Count again what is kept in numbers; they differ only if something has gone wrong.

    Args:
        tx (Transaction): What is being committed.

    Returns:
        int: How many were wrong; they are right now.
    """
    used = Counter(gate for sql in (_IN_READY, _IN_LEASE) for (text,) in tx.run(sql) for gate in ids_in(text))
    held = dict(tx.run(_IN_HELD).fetchall())
    wrong = 0
    for gate, was_used, was_held in tx.run(_NUMBERS).fetchall():
        now = (used[gate], held.get(gate, 0))
        if now != (was_used, was_held):
            wrong += 1
            tx.gates.count([gate], used=now[0] - was_used, held=now[1] - was_held)
            tx.gates.mark(gate, dirty=True)
    return wrong


def _open(tx: Transaction, cap: CapRow) -> None:
    """Whoever waits for this limit may come in, a bite of them at once."""
    gates = [gate for (gate,) in tx.run(_GATES_OF, (cap.id,)).fetchall()]
    waited_for = sorted((gate for gate in gates if (known := tx.gates.get(gate)) and known.held), key=tx.gates.name)
    left = _BITE
    for gate in waited_for:
        if left > 0:
            left -= admit(tx, gate, most=left)
        else:
            tx.gates.mark(gate, dirty=True)


def _forget_lifted(tx: Transaction, cap: int) -> None:
    gates = [gate for (gate,) in tx.run(_GATES_OF, (cap,)).fetchall()]
    if any((known := tx.gates.get(gate)) and known.held for gate in gates):
        return
    for gate in gates:
        tx.gates.forget(gate)
        tx.run(_GATE_DROP, (gate,))
    tx.run(_DROP, (cap,))
    tx.gates.changed(tx.run(_CHANGED).get)


def _count_leased(tx: Transaction, cap: CapRow) -> None:
    for message, text in tx.run(_LEASED).fetchall():
        gate = _gate_of(tx, cap, message)
        if gate is None or gate in ids_in(text):
            continue
        if tx.run(_LEASE_GATES, (message, text_of([*ids_in(text), gate]))).fetchone() is not None:
            tx.gates.count([gate], used=1)


def _sweep(tx: Transaction, cap: CapRow, bite: int) -> None:
    """Count what is leased, then look through what lies ready, those put first first."""
    if not cap.swept:
        _count_leased(tx, cap)
    freed: set[int] = set()
    with ExitStack() as cursors:
        rows = list(islice(merge(*_ranges(tx, cap, cursors, bite), key=itemgetter(0)), bite))
    for message, route, text in rows:
        gate, had = _gate_of(tx, cap, message), ids_in(text)
        if gate is None or gate in had:
            continue
        entry = tx.names.route_by_id(route)
        if not tx.gates.is_full(gate) and not tx.gates.is_blocked(entry):
            tx.gates.count([gate], used=1)
            tx.run(_READY_GATES, (route, message, text_of([*had, gate])))
            continue
        rank = Rank(*tx.run(_PLACE, (route, message)).fetchone())
        tx.gates.count(had, used=-1)
        freed.update(had)
        _hold(tx, message, route, rank, gate)
    again = 0 if tx.now < cap.settled_at else None
    tx.run(_SWEPT, (cap.id, rows[-1][0] if len(rows) == bite else again, cap.settled_at))
    admit_all(tx, freed)


def _give_up_place(tx: Transaction, message: int, route: int, rank: Rank, text: str) -> list[int]:
    gates, place = ids_in(text), known_place(tx, message)
    tx.gates.count(gates, used=-1)
    over = tx.gates.over(place.route, place.tenant, place.key)
    if over:
        _hold(tx, message, route, rank, over[0])
    else:  # the limit has been lifted
        tx.run(_READY_GATES, (route, message, None))
    return gates


def _ranges(tx: Transaction, cap: CapRow, cursors: ExitStack, bite: int) -> Iterator[Any]:
    tenant = tx.run(_TENANT, (cap.name,)).get if cap.scope == Scope.TENANT else None
    for route, queue, agent, *_ in tx.run(_ROUTES).fetchall():
        fits = {Scope.QUEUE: queue == cap.name, Scope.AGENT: agent == cap.name, Scope.KEY: queue == cap.name}
        if cap.scope == Scope.TENANT and tenant is not None:
            yield cursors.enter_context(closing(tx.run(_READY_OF, (tenant, route, cap.swept, bite))))
        elif fits.get(Scope(cap.scope)):
            yield cursors.enter_context(closing(tx.run(_READY, (route, cap.swept, bite))))


def _gate_of(tx: Transaction, cap: CapRow, id: int) -> int | None:
    """The count of one limit that a message has to be in, if any."""
    place = known_place(tx, id)
    return next((gate for gate in tx.gates.over(place.route, place.tenant, place.key) if tx.gates.cap_of(gate) == cap.id), None)


def _hold(tx: Transaction, id: int, route: int, rank: Rank, gate: int) -> None:
    place = known_place(tx, id)
    tx.tags.left()
    tx.run(_LEAVE, (route, id)).fetchall()
    hold(tx, place, tx.names.route_by_id(route), rank, gate)
    tx.move(id, place.route, State.READY, Move.HOLD, facts_of(tx, place, progress_of(tx.run, id).used))
