"""Becoming ready: with a tag, under every limit there is; or held until there is room.

A message takes a slot of each limit that applies to it, all or none. Whoever gives slots back lets those in
who waited for them, a bounded number at once; what is left over is marked for tending.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from perdure.clock import Moment
from perdure.messages.message import Move, State
from perdure.stores.sql.gates import ids_in, text_of
from perdure.stores.sql.lines import urgency
from perdure.stores.sql.names import RouteRow
from perdure.stores.sql.places import Place, entry_of, facts_of, place_of, state_of, watch_deadline
from perdure.stores.sql.progress import keep_progress, progress_of
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Rank", "admit", "admit_all", "become_ready", "enter_ready", "give_back_slots", "hold", "leave", "reprioritise", "watch_held"]

_READY, _HOLD, _WATCH = statement("ready_add"), statement("held_add"), statement("expiry_add")
_LEAVE = {
    State.READY: statement("ready_leave"),
    State.LATER: statement("later_leave"),
    State.WAITING: statement("waiting_leave"),
    State.DEAD: statement("outcome_leave"),
    State.HELD: statement("held_leave"),
}
_ROUTES, _HEAD = statement("held_routes"), statement("held_head")
_OTHER_GATE, _OTHER_PRIORITY, _HERE = statement("held_set_gate"), statement("held_set_priority"), statement("ready_get")
_AT_ONCE = 64
_log = logging.getLogger("perdure.stores")


class Rank(NamedTuple):
    """Where in its line a message lies."""

    priority: int
    tag: int


def enter_ready(tx: Transaction, place: Place, crashes: int, *, fresh: bool = False, slots: str | None = None) -> State:
    """Let a message lie ready, or hold it where a limit leaves it no room.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message; at the head of its session, if it has one.
        crashes (int): Two or more send it into quarantine.
        fresh (bool): Whether it comes for the first time.
        slots (str | None): The counts it is in already, as whoever worked on it had them.

    Returns:
        State: Ready or held, for `Transaction.move`.
    """
    entry, priority = entry_of(tx, place, crashes), urgency(tx, place)
    rank = Rank(priority, (tx.tags.fresh if fresh else tx.tags.again)(entry.id, place.tenant, priority, place.cost))
    watch_deadline(tx, place)
    had = ids_in(slots)
    if had and not tx.gates.is_blocked(entry):
        _lay(tx, place, entry, rank, had)
        return State.READY
    gates = tx.gates.over(place.route, place.tenant, place.key)
    full = _first_full(tx, entry, gates)
    if full is None:
        tx.gates.count(gates, used=1)
        _lay(tx, place, entry, rank, gates)
    else:
        hold(tx, place, entry, rank, full)
    give_back_slots(tx, slots)
    return State.READY if full is None else State.HELD


def leave(tx: Transaction, place: Place, state: State, crashes: int) -> None:
    """Take a message out of where it lies; the slots it had go to others.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies: ready, later, waiting, held or dead.
        crashes (int): Its crashes, which say on which route it lies ready.
    """
    if state is State.READY:
        tx.tags.left()
        gates = tx.run(_LEAVE[state], (entry_of(tx, place, crashes).id, place.id)).get
        give_back_slots(tx, gates)
    elif state is State.HELD:
        gate = tx.run(_LEAVE[state], (place.id,)).get
        tx.gates.count([] if gate is None else [gate], held=-1)
    else:
        tx.run(_LEAVE[state], (place.id,))


def hold(tx: Transaction, place: Place, entry: RouteRow, rank: Rank, gate: int) -> None:
    """Hold a message under a limit.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        entry (RouteRow): Where it would lie ready.
        rank (Rank): With which priority and tag.
        gate (int): The count that has no room.
    """
    tx.run(_HOLD, (place.id, entry.id, place.tenant, *rank, tx.now, gate, None, None))
    tx.gates.count([gate], held=1)
    watch_held(tx, place, tx.now)


def watch_held(tx: Transaction, place: Place, since: Moment) -> None:
    """Note when somebody must look at a message that is held.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        since (Moment): Since when it is.
    """
    tx.run(_WATCH, ("held", since + place.max_wait_s, place.id))
    watch_deadline(tx, place)


def give_back_slots(tx: Transaction, slots: str | None) -> None:
    """Let others have the slots of a message that lies ready or leased no more.

    Args:
        tx (Transaction): What is being committed.
        slots (str | None): The counts it was in, as kept with it.
    """
    if slots is not None:
        gates = ids_in(slots)
        tx.gates.count(gates, used=-1)
        admit_all(tx, gates)


def admit_all(tx: Transaction, gates: Iterable[int]) -> None:
    """Let those in who wait for some counts.

    Args:
        tx (Transaction): What is being committed.
        gates (Iterable[int]): Which may have room.
    """
    for gate in sorted(set(gates), key=tx.gates.name):
        admit(tx, gate)


def admit(tx: Transaction, gate: int, *, most: int = _AT_ONCE) -> int:
    """Let those in who wait for a count, as far as there is room: by priority, then tag.

    Args:
        tx (Transaction): What is being committed.
        gate (int): Which.
        most (int): Look at no more than so many; for the rest it is marked.

    Returns:
        int: How many were looked at.
    """
    for looked_at in range(most):
        known = tx.gates.get(gate)
        head = None if known is None or not known.held or tx.gates.is_full(gate) else _head(tx, gate)
        if head is None:
            tx.gates.mark(gate, dirty=False)
            return looked_at
        _let_in(tx, gate, *head)
    tx.gates.mark(gate, dirty=True)
    return most


def reprioritise(tx: Transaction, place: Place, priority: int) -> None:
    """Give the head of a session another priority, wherever that matters.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        priority (int): The new one.
    """
    state = state_of(tx.run, place.id)
    if state not in (State.READY, State.HELD):
        return
    entry = entry_of(tx, place, progress_of(tx.run, place.id).crashes)
    tag = tx.tags.again(entry.id, place.tenant, priority, place.cost)
    if state is State.HELD:
        tx.run(_OTHER_PRIORITY, (place.id, priority, tag))
        return
    since, gates = tx.run(_HERE, (entry.id, place.id)).fetchone()
    tx.tags.left()
    tx.run(_LEAVE[State.READY], (entry.id, place.id)).fetchall()
    tx.run(_READY, (entry.id, priority, tag, place.id, place.tenant, since, gates))


def _lay(tx: Transaction, place: Place, entry: RouteRow, rank: Rank, gates: Sequence[int]) -> None:
    tx.run(_READY, (entry.id, *rank, place.id, place.tenant, tx.now, text_of(gates)))


def _first_full(tx: Transaction, entry: RouteRow, gates: Sequence[int]) -> int | None:
    """Where nothing can start anyway, nobody takes a slot."""
    if gates and tx.gates.is_blocked(entry):
        return gates[0]
    return next((gate for gate in gates if tx.gates.is_full(gate)), None)


def _head(tx: Transaction, gate: int) -> tuple[int, int, int] | None:
    """The first of those on routes that are open, as id, route and tag. A limit that was lifted holds nobody, wherever they would lie."""
    routes = [route for (route,) in tx.run(_ROUTES, (gate,)).fetchall()]
    if not tx.gates.is_lifted(gate):
        routes = [route for route in routes if not tx.gates.is_blocked(tx.names.route_by_id(route))]
    heads = [(*tx.run(_HEAD, (gate, route)).fetchone(), route) for route in routes]
    if not heads:
        return None
    _, tag, message, route = min(heads)
    return message, route, tag


def _let_in(tx: Transaction, gate: int, id: int, route: int, tag: int) -> None:
    place, entry = place_of(tx, id), tx.names.route_by_id(route)
    if place is None:  # whatever held it there was wrong, and would hold up all behind it
        _log.error("message %d is held and is not there: it is held no longer", id)
        tx.run(_LEAVE[State.HELD], (id,)).fetchall()
        tx.gates.count([gate], held=-1)
        return
    gates = tx.gates.over(place.route, place.tenant, place.key)
    full = _first_full(tx, entry, gates)
    if full is not None:
        if tx.run(_OTHER_GATE, (id, full)).fetchone() is not None:
            tx.gates.count([gate], held=-1)
            tx.gates.count([full], held=1)
        return
    priority = urgency(tx, place)
    if tx.run(_LEAVE[State.HELD], (id,)).fetchone() is None:  # somebody was quicker, where others write at the same time
        return
    tx.gates.count([gate], held=-1)
    tx.gates.count(gates, used=1)
    _lay(tx, place, entry, Rank(priority, tx.tags.admitted(entry.id, priority, tag)), gates)
    tx.move(id, place.route, State.HELD, Move.ADMIT, facts_of(tx, place, progress_of(tx.run, id).used))


def become_ready(tx: Transaction, place: Place, state: State, move: Move) -> None:
    """Let a message lie ready that nobody works on, or hold it: its moment, or what it waited for, is there.

    Args:
        tx (Transaction): What is being committed.
        place (Place): The message.
        state (State): Where it lies.
        move (Move): `DUE`, which is not told, or `WAKE`, with which its patience begins anew.
    """
    progress = progress_of(tx.run, place.id)
    leave(tx, place, state, progress.crashes)
    if move is Move.WAKE and progress.waiting_since is not None:
        keep_progress(tx, place.id, progress._replace(waiting_since=None))
    new = enter_ready(tx, place, progress.crashes)
    facts = facts_of(tx, place, progress.used) if move is Move.WAKE else None
    tx.move(place.id, place.route, state, move, facts, held=new is State.HELD)
