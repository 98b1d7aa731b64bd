"""Reads the history of a store - every move of every message, in order - and says what in it may not be.

It knows nothing of how a store works: only the change sequence, `MOVES` and what sessions and the starvation bound promise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from perdure.messages.message import BIRTHS, ENDS, MOVES, MessageId, State
from perdure.messages.store import Change, MessageStore

__all__ = ["illegal_paths", "sessions_out_of_order", "starved", "told_twice", "whole_history"]

EVERY = 16


async def whole_history(messages: MessageStore) -> list[Change]:
    """Read every change, from the first on."""
    found: list[Change] = []
    while page := await messages.changes(found[-1].seq if found else 0, limit=1000):
        found += page
    return found


def illegal_paths(history: Iterable[Change], *, called_off: Collection[MessageId] = ()) -> list[str]:
    """Moves that `MOVES` does not know, and messages that begin where none can.

    That one who runs was called off is told as a change, and is none of its state.
    """
    wrong: list[str] = []
    at: dict[MessageId, State] = {}
    for change in history:
        before = at.get(change.id)
        if before is None:
            if change.state not in BIRTHS:
                wrong.append(f"{change.id} begins {change.state}")
        elif change.id in called_off and change.state is before is State.LEASED:
            continue
        elif change.state not in MOVES[before].values():
            wrong.append(f"{change.id} goes from {before} to {change.state} at {change.seq}")
        at[change.id] = change.state
    return wrong


def told_twice(history: Sequence[Change]) -> list[str]:
    """Changes that do not come one after the other, each once."""
    return [f"{one.seq} after {before.seq}" for before, one in pairwise(history) if one.seq <= before.seq]


def sessions_out_of_order(history: Iterable[Change], sessions: Mapping[MessageId, str]) -> list[str]:
    """Messages of a session that were leased before one put earlier had ended."""
    wrong: list[str] = []
    open_ones: defaultdict[str, set[MessageId]] = defaultdict(set)
    for message, session in sessions.items():
        open_ones[session].add(message)
    for change in history:
        session = sessions.get(change.id)
        if session is None:
            continue
        if change.state is State.LEASED and (first := min(open_ones[session])) != change.id:
            wrong.append(f"{change.id} of {session!r} is leased while {first} has not ended")
        if change.state in ENDS:
            open_ones[session].discard(change.id)
    return wrong


def starved(history: Iterable[Change], *, workers: int = 1) -> list[str]:
    """Stretches of leases, each longer than allowed, in which the message put earliest never had its turn."""
    wrong: list[str] = []
    ready: set[MessageId] = set()
    passed = 0
    for change in history:
        if change.state is State.LEASED and ready:
            passed = 0 if change.id == min(ready) else passed + 1
            if passed >= EVERY * workers:
                wrong.append(f"{passed} leases in a row passed {min(ready)} by, up to {change.seq}")
                passed = 0
        ready.discard(change.id)
        if change.state is State.READY:
            ready.add(change.id)
    return wrong
