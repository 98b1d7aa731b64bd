"""A message, the states it can be in, and every move between them.

Theory of operation: a message itself never changes; where it *is* does. It is in exactly one of eight
places, three of which are ends, and the only ways from one to another are the rows of `MOVES`. Stores
look moves up here (`after`) instead of deciding; the diagram in `docs/architecture.md` is drawn from
this table. What makes a move happen is decided elsewhere (`retry.py`, the worker, a person). Whoever
would be ready while its session, queue, agent, tenant or key has no room is held instead (`HELD_INSTEAD`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NewType, TypeAlias

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Conflict, ErrorFacts
from perdure.resources.usage import Usage

MessageId = NewType("MessageId", int)
"""63 bits, ordered by the time of putting; written `msg_…` outside (`ids.py`)."""
WorkerId = NewType("WorkerId", int)
GroupId = NewType("GroupId", int)
"""Messages that were put to be told of together; written `grp_…` outside."""

OnDead: TypeAlias = Literal["continue", "block"]
"""What a session does when a message of it is given up: go on, or stand until somebody has decided."""

URGENT, NORMAL, IDLE = 0, 5, 9
DEFAULT_MAX_WAIT_S = 7 * 24 * 3600.0


class State(StrEnum):
    """Where a message is."""

    READY = "ready"
    LATER = "later"
    HELD = "held"
    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


ENDS = frozenset({State.DONE, State.DEAD, State.CANCELLED})


class Move(StrEnum):
    """What can happen to a message."""

    LEASE = "lease"  # a worker takes it
    DUE = "due"  # its moment has come
    ADMIT = "admit"  # its session, queue, agent, tenant or key has room again
    HOLD = "hold"  # a limit came, or its route was blocked while it had a place under one
    DEFER = "defer"  # its turn in the session has come, its moment has not
    WAKE = "wake"  # the event or the decision it waited for is there
    FINISH = "finish"  # its agent returned
    RETRY = "retry"  # it failed and will be tried again
    PARK = "park"  # its run waits for a moment
    ASK = "ask"  # its run waits for an event or a person
    RELEASE = "release"  # its worker stopped, died or lost it
    BURY = "bury"  # given up
    CANCEL = "cancel"  # somebody called it off
    REVIVE = "revive"  # somebody gives it another life
    RECALL = "recall"  # the same, from a moment on


_CANNOT: Mapping[Move, str] = {
    Move.LEASE: "be leased",
    Move.DUE: "become due",
    Move.ADMIT: "be admitted",
    Move.HOLD: "be held",
    Move.DEFER: "be put off",
    Move.WAKE: "be woken",
    Move.FINISH: "be finished",
    Move.RETRY: "be tried again",
    Move.PARK: "be parked",
    Move.ASK: "wait for an event or a person",
    Move.RELEASE: "be released",
    Move.BURY: "be buried",
    Move.CANCEL: "be cancelled",
    Move.REVIVE: "be revived",
    Move.RECALL: "be revived",
}
"""What a message cannot, where a move is not possible."""

BIRTHS = frozenset({State.READY, State.LATER, State.HELD, State.WAITING})

MOVES: Mapping[State, Mapping[Move, State]] = {
    State.READY: {Move.LEASE: State.LEASED, Move.HOLD: State.HELD, Move.BURY: State.DEAD, Move.CANCEL: State.CANCELLED},
    State.LATER: {Move.DUE: State.READY, Move.BURY: State.DEAD, Move.CANCEL: State.CANCELLED},
    State.HELD: {Move.ADMIT: State.READY, Move.DEFER: State.LATER, Move.BURY: State.DEAD, Move.CANCEL: State.CANCELLED},
    State.WAITING: {
        Move.WAKE: State.READY,
        Move.DUE: State.READY,
        Move.BURY: State.DEAD,
        Move.CANCEL: State.CANCELLED,
    },
    State.LEASED: {
        Move.FINISH: State.DONE,
        Move.RETRY: State.LATER,
        Move.PARK: State.LATER,
        Move.ASK: State.WAITING,
        Move.RELEASE: State.READY,
        Move.BURY: State.DEAD,
        Move.CANCEL: State.CANCELLED,
    },
    State.DONE: {},
    State.DEAD: {Move.REVIVE: State.READY, Move.RECALL: State.LATER},
    State.CANCELLED: {},
}

HELD_INSTEAD = frozenset({Move.DUE, Move.WAKE, Move.RELEASE, Move.REVIVE, Move.RECALL})
"""Moves after which a message is held instead where there is no room for it, or it is not its turn."""


def after(state: State, move: Move, *, held: bool = False) -> State:
    """Look up where a move leads.

    Args:
        state (State): Where the message is.
        move (Move): What happens to it.
        held (bool): Whether there is no room for it to be ready.

    Returns:
        State: Where it is then.

    Raises:
        Conflict: The move is not possible from there.
    """
    try:
        new = MOVES[state][move]
        return State.HELD if held and move in HELD_INSTEAD else new
    except KeyError:
        raise Conflict(
            f"a message that is {state.value!r} cannot {_CANNOT[move]}",
            hint="Only a dead letter can be revived, and only a message that has not ended can be cancelled.",
        ) from None


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done, already validated: ready to be put.

    `body` is JSON as UTF-8 bytes. Durations are seconds. `due_at` None means at once. Messages of one
    `session` of a tenant run one at a time, in the order of putting.
    """

    agent: str
    body: bytes
    queue: str = "default"
    tenant: str = "default"
    priority: int = NORMAL
    due_at: Moment | None = None
    dedup_key: str | None = None
    attempts: int = 5
    timeout_s: float | None = None
    deadline: Moment | None = None
    max_wait_s: float = DEFAULT_MAX_WAIT_S
    version: str | None = None
    """The code version this message insists on; None runs on any."""
    lane: str | None = None
    session: str | None = None
    on_dead: OnDead = "continue"
    """What its session does if this message is given up."""
    key: str | None = None
    """For limits of scope `key`: so many of each key of a queue run at once."""
    cost: int = 1
    """How much of its tenant's share it takes, 1 or more."""
    parent: MessageId | None = None
    metadata: Mapping[str, str] = {}


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a put. `duplicate` is True where the key had brought this message before."""

    id: MessageId
    duplicate: bool = False
    group: GroupId | None = None
    """The group it was put into, if any."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was put. Never changes."""

    id: MessageId
    agent: str
    body: bytes
    queue: str
    tenant: str
    priority: int
    attempts: int
    created_at: Moment
    timeout_s: float | None = None
    deadline: Moment | None = None
    max_wait_s: float = DEFAULT_MAX_WAIT_S
    version: str | None = None
    lane: str | None = None
    session: str | None = None
    on_dead: OnDead = "continue"
    key: str | None = None
    cost: int = 1
    parent: MessageId | None = None
    """Whose run sent it; told when it ends."""
    group: GroupId | None = None
    """With which others it was put, or whose end it joins."""
    metadata: Mapping[str, str] = {}
    dedup_key: str | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one living worker to work one message. Every write names it by its token."""

    message: Message
    token: int
    worker: WorkerId
    attempt: int
    """Number of the attempt under way, from 1."""
    crashes: int = 0
    """Crashes since the journal last gained a result."""
    begun: bool = True
    """False where nobody ever worked on it, so that its journal holds nothing."""
    leased_at: Moment
    waiting_since: Moment | None = None
    """Since when the message has been in waits without a stated end (an account error, a decision)."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message does not run now, and what ends that.

    `why` is one of `delay`, `paced` (revived with many), `backoff`, `sleep`, `rate-limit`, `circuit-open`, `account`,
    `outcome-unknown`, `newer-journal`, `signal`, `children`, `group`. `until` is the named moment; None waits for an
    event or a person. `step` is the step that waits. `open_ended` is True where `max_wait_s` applies although there is
    a moment (account errors, asked again in steps).
    """

    why: str
    until: Moment | None = None
    """With `events`: when it goes on without them."""
    step: int | None = None
    open_ended: bool = False
    error: ErrorFacts | None = None
    events: tuple[str, ...] = ()
    """Any of these ends it: `signal:NAME`, `children:STEP`, `group:ID`. Such a message is `waiting`, whatever `until` says."""

    @property
    def move(self) -> Move:
        """How a run gets into this wait."""
        return Move.PARK if self.until is not None and not self.events else Move.ASK

    @property
    def is_endless(self) -> bool:
        """Whether nobody can say when it ends, so that `max_wait_s` counts."""
        return self.until is None or self.open_ended


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt, crash or account wait of a message, kept until the message is."""

    n: int
    """Number of the attempt, from 1."""
    kind: str
    """`retry`, `bury` or `crash`."""
    error: ErrorFacts
    at: Moment
    worker: WorkerId | None = None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A message and where it is now."""

    message: Message
    state: State
    attempt: int = 0
    """Attempts used or under way."""
    crashes: int = 0
    wait: Wait | None = None
    blocked_by: str | None = None
    """Why a ready message does not start: `no-worker`, `queue-paused`, `all-paused`, `lane-closed`, `quarantine`; told of
    one held by a limit, too."""
    held_by: str | None = None
    """What holds a held message: `session 'x'`, `limit tenant 'a' (2 at once)`."""
    position: int | None = None
    """How many of its session come before a held one, the one at the head included; None where that is too many to count."""
    worker: WorkerId | None = None
    cancelling: bool = False
    """It was called off while it runs; its worker brings it to an end."""
    started_at: Moment | None = None
    """When it was first leased, as far as is kept."""
    ended_at: Moment | None = None
    result: bytes | None = None
    error: ErrorFacts | None = None
    usage: Usage | None = None
    code_version: str | None = None
    """The code version that ended it or runs it."""
    revived: int = 0
    replayed: Usage | None = None
    """What recorded answers had used that were replayed instead of paid for again."""
    forked_from: MessageId | None = None
    forked_step: int | None = None
    """The first step it did not take over."""
    imported: bool = False
