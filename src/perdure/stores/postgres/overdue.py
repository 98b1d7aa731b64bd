"""A bite of what time demands, in one transaction: plain messages together, the others are named and left.

Each function locks what it moves before it looks closer, and passes by what others are just moving; that is found again
the next time. What a bite has left goes through the shared functions (`tending.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import ErrorFacts
from perdure.messages.dead import deadline_passed, waited_too_long
from perdure.messages.message import ENDS, Move, State, Wait
from perdure.resources.usage import Usage
from perdure.stores.postgres.dialect import own
from perdure.stores.postgres.plain import Known, known_of, lay_ready
from perdure.stores.sql.places import entry_of, facts_of
from perdure.stores.sql.progress import usage_text
from perdure.stores.sql.statements import statement
from perdure.stores.sql.tend import Due, Entry
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["Bite", "Blocked", "come_due", "look_through", "run_out"]

_LATER, _WAITING, _TAKE, _DROP = own("due_later"), own("due_waiting"), own("expiry_take"), own("expiry_drop_many")
_LYING, _USAGES, _DEAD, _SWEPT = own("lying_many"), own("usages_many"), own("outcome_add_dead"), own("sweep_note")
_LEAVE_LATER, _LEAVE_WAITING, _LEAVE_READY = own("later_leave_many"), own("waiting_leave_many"), own("ready_leave_many")
_SWEEP, _UNDATED = statement("sweep_bite"), Wait(why="delay")
_decode_wait, _decode_usage = msgspec.json.Decoder(Wait).decode, msgspec.json.Decoder(Usage).decode
_Judge = Callable[[Known, "_Lying"], ErrorFacts | None]


class Bite(NamedTuple):
    """What became of some that were due."""

    done: int
    due: list[Due]
    """Those left to the shared functions, if moments have come."""
    entries: list[Entry]
    """The same, if somebody had to look at them."""
    reached: Entry | None
    """Go on behind this one; None at the end."""


class Blocked(NamedTuple):
    """A route to be looked through for who waited too long."""

    route: int
    blocked_since: Moment
    patience_s: float
    swept: int
    sweep_next: Moment | None


class _Lying(NamedTuple):
    state: State
    wait: Wait | None


@sees_latest
def come_due(tx: Transaction, behind: Entry) -> Bite:
    """Let those lie ready whose moment has come.

    Args:
        tx (Transaction): What is being committed.
        behind (Entry): Begin behind this one.

    Returns:
        Bite: What became of them.
    """
    given = (tx.now, *behind, tx.bite)
    found = [(at, message, State.LATER) for at, message in tx.run(_LATER, given).fetchall()]
    found += [(at, message, State.WAITING) for at, message in tx.run(_WAITING, given).fetchall()]
    due = sorted(found)[: tx.bite]
    known = known_of(tx, [message for _, message, _ in due])
    plain = [(message, state) for _, message, state in due if message in known and known[message].may_lie(tx)]
    _leave(tx, [(known[message], state) for message, state in plain])
    lay_ready(tx, [(known[message].place, entry_of(tx, known[message].place, known[message].progress.crashes)) for message, _ in plain])
    for message, state in plain:
        tx.move(message, known[message].place.route, state, Move.DUE)
    gone = {message for message, _ in plain}
    left = [one for one in due if one[1] not in gone]
    return Bite(len(plain), left, [], due[-1][:2] if len(due) == tx.bite else None)


@sees_latest
def run_out(tx: Transaction, kind: str, behind: Entry) -> Bite:
    """Give up those whose deadline has passed, or whose patience is at an end.

    Args:
        tx (Transaction): What is being committed.
        kind (str): `deadline`, `patience` or `held`; the last are never plain.
        behind (Entry): Begin behind this one.

    Returns:
        Bite: What became of them.
    """
    entries: list[Entry] = tx.run(_TAKE, (kind, tx.now, *behind, tx.bite)).fetchall()
    reached = entries[-1] if len(entries) == tx.bite else None
    if kind == "held" or not entries:
        return Bite(0, [], entries, reached)
    judge = _overdue if kind == "deadline" else _impatient(tx.now)
    buried, seen = _bury(tx, sorted({message for _, message in entries}), judge)
    over = [(at, message) for at, message in entries if message in buried or message in seen]
    if over:
        tx.run(_DROP, (kind, *map(list, zip(*over, strict=True))))
    return Bite(len(buried), [], [one for one in entries if one not in over], reached)


@sees_latest
def look_through(tx: Transaction, blocked: Blocked, reason: str | None, room: int) -> tuple[int, list[Entry]]:
    """Look through a bite of a blocked route for who waited too long.

    Args:
        tx (Transaction): What is being committed.
        blocked (Blocked): The route, and how far others have come.
        reason (str | None): What stands against it.
        room (int): Give up at most so many.

    Returns:
        tuple[int, list[Entry]]: How many were given up; and who is left to the shared functions, waiting since when.
    """
    if not tx.alone():
        return 0, []
    bite = min(room, tx.bite)
    next_at = tx.now + blocked.patience_s if blocked.swept == 0 or blocked.sweep_next is None else blocked.sweep_next
    rows = tx.run(_SWEEP, (blocked.route, blocked.swept, bite)).fetchall()
    late: dict[int, Moment] = {}
    for message, since, max_wait_s in rows:
        began = max(blocked.blocked_since, since)
        if began + max_wait_s <= tx.now:
            late[message] = began
        else:
            next_at = min(next_at, began + max_wait_s)
    whole = len(rows) < bite
    noted = (0 if whole else rows[-1][0], next_at, next_at if whole else tx.now)
    tx.run(_SWEPT, (blocked.route, blocked.blocked_since, *noted))
    buried, _ = _bury(tx, sorted(late), _blocked(reason))
    return len(buried), [(since, message) for message, since in late.items() if message not in buried]


def _overdue(known: Known, _: _Lying) -> ErrorFacts | None:
    return deadline_passed(known.place.deadline)


def _impatient(now: Moment) -> _Judge:
    def judge(known: Known, lying: _Lying) -> ErrorFacts | None:
        since = known.progress.waiting_since
        if since is None or since + known.place.max_wait_s > now or lying.state is State.READY:
            return None
        return waited_too_long(known.place.max_wait_s, wait=lying.wait, blocked_by=None)

    return judge


def _blocked(reason: str | None) -> _Judge:
    def judge(known: Known, lying: _Lying) -> ErrorFacts | None:
        return waited_too_long(known.place.max_wait_s, wait=None, blocked_by=reason) if lying.state is State.READY else None

    return judge


def _bury(tx: Transaction, ids: Sequence[int], judge: _Judge) -> tuple[set[int], set[int]]:
    """Bury those that are to be, and say which; and of whom it is certain that they are not."""
    if not ids:
        return set(), set()
    rows = tx.run(_LYING, (ids,)).fetchall()
    lying = {message: _Lying(State(state), _wait(state, wait, at)) for message, state, wait, at in rows}
    known = known_of(tx, ids)
    seen = {message for message in ids if message not in known}
    dead: list[tuple[Known, State, ErrorFacts]] = []
    for message, lies in ((message, lies) for message, lies in lying.items() if message in known):
        one = known[message]
        place = one.place
        error = None if lies.state is State.LEASED or lies.state in ENDS else judge(one, lies)
        if error is None:
            seen.add(message)
        elif place.session is None and place.parent is None and place.group is None:
            dead.append((one, lies.state, error))
    _leave(tx, [(one, state) for one, state, _ in dead])
    _end(tx, dead)
    return {one.place.id for one, _, _ in dead}, seen


def _wait(state: str, wait: bytes | None, at: Moment | None) -> Wait | None:
    if wait is not None:
        return _decode_wait(wait)
    return msgspec.structs.replace(_UNDATED, until=at) if state == State.LATER else None


def _leave(tx: Transaction, gone: Sequence[tuple[Known, State]]) -> None:
    for state, sql in ((State.LATER, _LEAVE_LATER), (State.WAITING, _LEAVE_WAITING)):
        ids = [one.place.id for one, lay in gone if lay is state]
        if ids:
            tx.run(sql, (ids,))
    ready = [(one.place.route.id, one.place.id) for one, lay in gone if lay is State.READY]
    if ready:
        tx.run(_LEAVE_READY, tuple(map(list, zip(*ready, strict=True))))


def _end(tx: Transaction, dead: Sequence[tuple[Known, State, ErrorFacts]]) -> None:
    if not dead:
        return
    usages = _usages(tx, [one.place.id for one, _, _ in dead])
    rows = []
    for (place, progress), state, error in dead:
        tx.move(place.id, place.route, state, Move.BURY, facts_of(tx, place, progress.used, error))
        head = (place.id, place.route.id, place.tenant, error.code, progress.used, progress.started_at)
        rows.append((*head, usage_text(usages.get(place.id)), msgspec.json.encode(error)))
    tx.run(_DEAD, (tx.now, *map(list, zip(*rows, strict=True))))


def _usages(tx: Transaction, ids: Sequence[int]) -> dict[int, Usage]:
    sums: dict[int, Usage] = {}
    for message, text, again in tx.run(_USAGES, (ids,)):
        usage = (_decode_usage(text) if text else Usage()) + Usage(paid_again=again)
        sums[message] = sums[message] + usage if message in sums else usage
    return sums
