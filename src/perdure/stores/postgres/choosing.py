"""Which messages are next: by urgency, and every sixteenth the one put earliest."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

__all__ = ["EVERY", "Chosen", "Head", "choose"]

EVERY = 16
"""Each message whose turn is a multiple of this is the one put earliest."""
_AGE = attrgetter("id")


class Head(NamedTuple):
    """A ready message, as far as its order goes."""

    priority: int
    tag: int
    id: int
    route: int


class Chosen(NamedTuple):
    """What is to be taken, in order."""

    order: list[Head]
    early: list[Head]
    """Those of them that were chosen for having been put earliest."""

    def lanes(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Say how many of which route and priority were chosen for being the most urgent.

        Returns:
            dict[tuple[int, int], tuple[int, int]]: (route, priority) to the first tag and the number.
        """
        named = {head.id for head in self.early}
        lanes: dict[tuple[int, int], tuple[int, int]] = {}
        for head in self.order:
            if head.id not in named:
                first, n = lanes.get((head.route, head.priority), (head.tag, 0))
                lanes[head.route, head.priority] = (min(first, head.tag), n + 1)
        return lanes


def choose(urgent: Sequence[Head], earliest: Sequence[Head], *, taken: int, limit: int, owed: int = 0) -> Chosen:
    """Choose what is taken next.

    Args:
        urgent (Sequence[Head]): The `limit` most urgent ones, in order.
        earliest (Sequence[Head]): Those put earliest that are not among them: as many as turns come up for one.
        taken (int): Messages ever leased so far.
        limit (int): At most so many.
        owed (int): Turns of those put earliest that are still to be served, or, below 0, that were served too often.

    Returns:
        Chosen: In the order in which they are taken.
    """
    limit = min(limit, len(urgent) + len(earliest))
    if owed <= 0 and (taken + limit) // EVERY == taken // EVERY:
        return Chosen(list(urgent[:limit]), [])
    by_age = iter(sorted([*urgent, *earliest], key=_AGE))
    by_urgency = iter(urgent)
    chosen: dict[int, Head] = {}
    early: list[Head] = []
    for turn in range(taken + 1, taken + limit + 1):
        owed += turn % EVERY == 0
        stream = by_age if owed > 0 else by_urgency
        head = next((head for head in stream if head.id not in chosen), None)
        if head is None:
            break
        chosen[head.id] = head
        if owed > 0:
            owed -= 1
            early.append(head)
    return Chosen(list(chosen.values()), early)
