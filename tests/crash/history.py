"""Reads the history of a store - every move of every message, in order - and says what in it may not be.

It knows nothing of how a store works: only the change sequence, `MOVES` and what sessions and the starvation bound promise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from perdure.messages.message import BIRTHS, ENDS, MOVES, MessageId, State
from perdure.messages.store import Change, MessageStore

__all__ = [
    "ended_twice",
    "illegal_paths",
    "leased_twice",
    "maybe_apart",
    "missed",
    "never_told",
    "sessions_out_of_order",
    "starved",
    "told_twice",
    "told_what_is_not",
    "whole_history",
]

EVERY = 16


async def whole_history(messages: MessageStore, *, after: int = 0) -> list[Change]:
    """Read every change, from the first on or after one that is known."""
    found: list[Change] = []
    while page := await messages.changes(found[-1].seq if found else after, limit=1000):
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


def leased_twice(history: Iterable[Change], *, called_off: Collection[MessageId] = ()) -> list[str]:
    """Messages that somebody got while somebody else had them."""
    wrong: list[str] = []
    held: set[MessageId] = set()
    for change in history:
        if change.state is not State.LEASED:
            held.discard(change.id)
        elif change.id in held and change.id not in called_off:
            wrong.append(f"{change.id} is leased at {change.seq} while it is leased")
        else:
            held.add(change.id)
    return wrong


def ended_twice(history: Iterable[Change]) -> list[str]:
    """Messages that end although they have, and had no other life since: only a dead letter is given one."""
    wrong: list[str] = []
    ended: dict[MessageId, State] = {}
    for change in history:
        if change.state not in ENDS:
            if ended.get(change.id) is State.DEAD:
                del ended[change.id]
        elif change.id in ended:
            wrong.append(f"{change.id} is {change.state} at {change.seq} and was {ended[change.id]}")
        else:
            ended[change.id] = change.state
    return wrong


def never_told(history: Iterable[Change], states: Mapping[MessageId, State]) -> list[str]:
    """Messages that are there, and whose coming was never told."""
    told = {change.id for change in history}
    return [f"{one} is {state}, and nobody was told of it" for one, state in states.items() if one not in told]


def told_what_is_not(history: Iterable[Change], states: Mapping[MessageId, State]) -> list[str]:
    """Messages that are elsewhere than where they were last told to be, or not there at all."""
    last = {change.id: change.state for change in history}
    return [f"{one} was told to be {told} and is {states.get(one, 'gone')}" for one, told in last.items() if states.get(one) is not told]


def told_twice(history: Sequence[Change]) -> list[str]:
    """Changes that do not come one after the other, each once."""
    return [f"{one.seq} after {before.seq}" for before, one in pairwise(history) if one.seq <= before.seq]


def missed(followed: Sequence[Change], history: Sequence[Change]) -> list[str]:
    """Changes that appeared behind what somebody who follows them had read by then, so that he never heard of them."""
    read = {change.seq for change in followed}
    up_to = followed[-1].seq if followed else 0
    wrong = [
        f"{change.seq} ({change.id} is {change.state}) was never read"
        for change in history
        if change.seq <= up_to and change.seq not in read
    ]
    known = {change.seq: change for change in history}
    return wrong + [f"{change.seq} was read and is not there" for change in followed if known.get(change.seq) != change]


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
        if change.state is State.LEASED and (first := min(open_ones[session], default=change.id)) != change.id:
            wrong.append(f"{change.id} of {session!r} is leased while {first} has not ended")
        if change.state in ENDS:
            open_ones[session].discard(change.id)
    return wrong


def maybe_apart(history: Iterable[Change]) -> set[MessageId]:
    """Messages that may have lain in quarantine for a while: they came back from their workers twice, or more often."""
    back: Counter[MessageId] = Counter()
    at: dict[MessageId, State] = {}
    for change in history:
        back[change.id] += change.state is State.READY and at.get(change.id) is State.LEASED
        at[change.id] = change.state
    return {one for one, n in back.items() if n >= 2}


def starved(history: Iterable[Change], *, workers: int = 1, apart: Collection[MessageId] = ()) -> list[str]:
    """Stretches of leases, each longer than allowed, in which the message put earliest never had its turn.

    Workers that take at the same time count each for themselves. Those that lie `apart`, in quarantine, wait for a worker of their own.
    """
    wrong: list[str] = []
    ready: set[MessageId] = set()
    passed = 0
    for change in history:
        if change.id in apart:
            if change.state is State.LEASED and ready and change.id < min(ready):
                passed = 0  # it lay with the others, and the turn was its own
            continue
        if change.state is State.LEASED and ready:
            passed = 0 if change.id == min(ready) else passed + 1
            if passed >= EVERY * workers:
                wrong.append(f"{passed} leases in a row passed {min(ready)} by, up to {change.seq}")
                passed = 0
        ready.discard(change.id)
        if change.state is State.READY:
            ready.add(change.id)
    return wrong
