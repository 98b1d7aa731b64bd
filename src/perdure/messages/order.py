"""Whose turn it is: fair tags. Rules, the same on every engine.

Theory of operation: start-time fair queueing, decided at the put. Ready messages of one priority are leased in
the order of their tags, ties by id; the clock of a priority is the largest tag leased in that order. A tenant's
new message gets the tag `max(clock, the tenant's last) + cost`, so the thousandth of a bulk lies a thousand
turns ahead while a newcomer begins at the clock: k tenants with a backlog take turns, whatever the size
of each backlog, and taking the next message stays a look at the head of an index.

Three things more. A tenant's last is kept for each route, and where the head of a route lies behind the clock
(its workers are slow, those of other routes fast) the head is the clock of that route, so that a newcomer waits
for no backlog there either. Messages that come back - due, woken, retried, released, revived, next in their
session - take tags from a second line of their tenant, so that they are not sent behind its backlog, and a
thousand that come back at once still leave the others their turn. And one that had a tag before it was held
keeps it, or begins at the clock.
"""

from __future__ import annotations

from perdure.errors.base import InvalidInput

EVERY = 16
"""Every so many leases the message put earliest comes first, whatever its priority: nobody starves."""

__all__ = ["EVERY", "clock_at", "in_ancestors_session", "join_in_session", "tag_admitted", "tag_after"]


def clock_at(clock: int, head: int | None) -> int:
    """Tell the clock of a route.

    Args:
        clock (int): The largest tag of the priority that was leased in order, on any route.
        head (int | None): The smallest tag that lies ready on the route, if any does.

    Returns:
        int: A newcomer of cost 1 comes right after it.
    """
    return clock if head is None else min(clock, head - 1)


def tag_after(clock: int, last: int, cost: int) -> int:
    """Draw the next tag of a tenant.

    Args:
        clock (int): Of the route.
        last (int): The tenant's last tag there; 0 if it has none.
        cost (int): How much of its share the message takes.

    Returns:
        int: Larger than both.
    """
    return max(clock, last) + cost


def tag_admitted(clock: int, tag: int) -> int:
    """Choose the tag of a message that was held.

    Args:
        clock (int): Of the route.
        tag (int): The one it got when it came.

    Returns:
        int: The same, if it still lies ahead.
    """
    return max(tag, clock + 1)


def in_ancestors_session(session: str) -> InvalidInput:
    """Refuse a message that could never have its turn.

    Args:
        session (str): Its session, which the run that sends it is in, or waits behind.

    Returns:
        InvalidInput: Says why.
    """
    return InvalidInput(
        f"the run that sends this message is itself in session {session!r}, and would hold it until it has ended",
        hint="Give it another session, or none.",
    )


def join_in_session(session: str) -> InvalidInput:
    """Refuse a join that would have to wait twice.

    Args:
        session (str): Which it names.

    Returns:
        InvalidInput: Says why.
    """
    return InvalidInput(f"the join of a group has its turn when the group has ended, and none in session {session!r}", hint="Leave it out.")
