"""One model, who can answer for it, and who answers where none of them can.

Theory of operation: nothing here asks anybody. `in_order` says in which order the deployments of a model are tried for
one call; the call takes the first whose lane is open, and moves on when that one gives no answer (`agents/choosing.py`).
The order is made anew for each call, so a weight is a share of the calls, and whoever became slow moves back.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from perdure.providers.hedge import Hedge
from perdure.providers.pace import Pace
from perdure.providers.target import Target

__all__ = ["Deployments", "Order"]

_TRIED_ANYWAY = 0.05
"""Of the calls by least latency so many go by weight: who is never asked cannot become the fastest again."""


class Order(StrEnum):
    """How deployments of the same priority stand to each other."""

    PRIORITY = "priority"  # as they are listed
    WEIGHTS = "weights"  # by chance, each with its share
    LATENCY = "latency"  # who answered fastest of late


class Deployments(msgspec.Struct, kw_only=True, eq=False):
    """Who answers for a model."""

    name: str
    """As it is asked for."""
    targets: tuple[Target, ...]
    """One at least."""
    order: Order = Order.PRIORITY
    larger: str | None = None
    """The model that is asked where this one's context is too short."""
    other: str | None = None
    """The model that is asked where this one's filter or the model itself declines."""
    hedge: Hedge | None = None
    """For slow calls; None asks nobody twice."""
    pace: Pace = msgspec.field(default_factory=Pace)

    @property
    def lane(self) -> str:
        """What a message waits for that needs this model: its only deployment's lane, or, closed once all are, its own name."""
        return self.targets[0].lane if len(self.targets) == 1 else self.name

    def in_order(self, dice: Callable[[], float]) -> list[Target]:
        """Say who is to be asked first, who next.

        Args:
            dice (Callable[[], float]): Random numbers in [0, 1).

        Returns:
            list[Target]: All of them.
        """
        if len(self.targets) == 1:
            return list(self.targets)
        if self.order is Order.PRIORITY:
            return sorted(self.targets, key=lambda one: one.priority)
        drawn = {id(one): dice() ** (1 / one.weight) for one in self.targets}  # by size this is a draw by weight, without putting back
        shuffled = sorted(self.targets, key=lambda one: (one.priority, -drawn[id(one)]))
        if self.order is Order.WEIGHTS or dice() < _TRIED_ANYWAY:
            return shuffled
        return sorted(shuffled, key=lambda one: (one.priority, self.pace.typical_s(one.lane) or 0.0))
