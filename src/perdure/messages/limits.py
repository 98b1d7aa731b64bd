"""How many may run at once: of a queue, an agent, a tenant, or of each key of a queue.

Theory of operation: a limit counts messages that are ready or leased, so that a worker never has to skip one.
A message needs a slot of each limit that applies to it, all or none; while one is full it is held under it.
Whoever ends, waits or is parked gives its slots back, and the first of those held - by priority, then tag - gets
them. A limit of scope `key` is one count for each key, so each count is named by a *gate*: a limit and a key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from perdure.errors.base import InvalidInput

__all__ = ["GateName", "Limit", "LimitStatus", "Scope", "gates_for", "held_by_limit", "held_by_session"]

_LONGEST_NAME = 200
_MOST_AT_ONCE = 1_000_000


class Scope(StrEnum):
    """What a limit is of."""

    QUEUE = "queue"
    AGENT = "agent"
    TENANT = "tenant"
    KEY = "key"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """So many at once. For scope `key` the name is a queue, and so many of each distinct key in it may run."""

    scope: Scope
    name: str
    at_once: int

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InvalidInput: No name, or no number from 1 to a million.
        """
        if not 1 <= self.at_once <= _MOST_AT_ONCE:
            raise InvalidInput(
                f"a limit is 1 to {_MOST_AT_ONCE} at once, not {self.at_once!r}", hint="To let nothing run, pause the queue."
            )
        if not 1 <= len(self.name) <= _LONGEST_NAME:
            raise InvalidInput(f"a limit needs a name of 1 to {_LONGEST_NAME} letters")


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A limit and how full it is; for scope `key` the sums over all keys."""

    limit: Limit
    used: int = 0
    """Messages that are ready or leased under it; more than `at_once` until a lowered one has run out."""
    held: int = 0
    """Messages that wait for it."""


class GateName(NamedTuple):
    """One count: a limit's scope and name, and the key for scope `key`."""

    scope: Scope
    name: str
    key: str = ""


def gates_for(queue: str, agent: str, tenant: str, key: str | None) -> tuple[GateName, ...]:
    """Name every count that a message could be under, were there such limits.

    Args:
        queue (str): The message's.
        agent (str): The message's.
        tenant (str): The message's.
        key (str | None): The message's.

    Returns:
        tuple[GateName, ...]: In the order in which they are asked: the first that is full holds the message.
    """
    common = (GateName(Scope.QUEUE, queue), GateName(Scope.AGENT, agent), GateName(Scope.TENANT, tenant))
    return common if key is None else (*common, GateName(Scope.KEY, queue, key))


def held_by_limit(gate: GateName, at_once: int | None) -> str:
    """Say what holds a message, for people.

    Args:
        gate (GateName): The count that was full.
        at_once (int | None): How many it lets through; None where it has just been lifted.

    Returns:
        str: For example `limit tenant 'a' (2 at once)`.
    """
    whose = f"{gate.scope.value} {gate.name!r}" if gate.scope is not Scope.KEY else f"key {gate.key!r} of queue {gate.name!r}"
    return f"limit {whose} ({'lifted' if at_once is None else f'{at_once} at once'})"


def held_by_session(name: str, stands_behind: str | None) -> str:
    """Say what holds a message, for people.

    Args:
        name (str): The session.
        stands_behind (str | None): The dead letter it stands still for, if it does.

    Returns:
        str: For example `session 'x'`.
    """
    return f"session {name!r}" if stands_behind is None else f"session {name!r}, which stands behind the dead letter {stands_behind}"
