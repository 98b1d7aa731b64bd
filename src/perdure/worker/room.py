"""How many messages of one lane a worker may lease: no more than can start soon.

Theory of operation. What a message of a limited lane needs is a permit, and all workers draw theirs from one line. How long that
line is a worker knows from its last turn. While it is shorter than a second's wait or so, messages are leased; so there is always
somebody in it, and never more than a few: who stands in it has reserved, and what is reserved is lost to others until it is
used. Where a lane has less to give than there are workers, one message at a time is leased, and looked before whether another
worker was quicker; each draws anew how soon it looks, so that not all are at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from perdure.clock import Moment, chance
from perdure.providers.book import ASKER_S
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Turn
from perdure.worker.demand import Demand

__all__ = ["LEAD_S", "Room"]

LEAD_S = 1.0
"""So long before a lane can take the next call messages are leased for it."""
_LEASED_S = 1.0
"""Whoever was leased for a lane and has not come for so long does not need it now."""
_LOOK_S = 0.5
"""So often it is looked whether a lane where all permits were out has one again."""
_STALE_S = 0.05
"""What is known of a lane is not looked up anew within so short a time."""
_MANY = 1_000_000


class Room:
    """Of one lane in one worker.

    Args:
        limits (LaneLimits): Of the lane.
        demand (Demand): How large its calls are.
        now (Callable[[], Moment]): A clock, for spans.
    """

    def __init__(self, limits: LaneLimits, demand: Demand, now: Callable[[], Moment]) -> None:
        self._limits, self._demand, self._now = limits, demand, now
        self._leased: deque[Moment] = deque()
        self._lead_s = LEAD_S
        self._next_at: Moment = -math.inf
        self._free: int | None = limits.at_once
        self._looked_at: Moment = -math.inf
        self._asked_at: Moment = -math.inf
        self._askers = 0
        self.coming: int = 0
        """Calls that are on their way to the store, or wait here for a permit."""

    def leased(self) -> None:
        """Note that a message was leased that is about to come."""
        self._leased.append(self._now())
        self._lead_s = LEAD_S * (1.0 + chance()) / 2

    def came(self) -> None:
        """Note that a call has come, which is likely to be one that was leased for."""
        self._asked_at = self._now()
        if self._leased:
            self._leased.popleft()

    def saw(self, turn: Turn) -> None:
        """Take over what a turn says.

        Args:
            turn (Turn): The newest.
        """
        self._looked_at = self._now()
        self._next_at, self._free, self._askers = self._looked_at + turn.next_s, turn.free, turn.askers

    def freed(self, calls: int) -> None:
        """Note that calls have ended here.

        Args:
            calls (int): How many.
        """
        if self._free is not None:
            self._free += calls

    @property
    def needs_a_look(self) -> bool:
        """Whether another worker may have been quicker, and that would make a difference."""
        now = self._now()
        if now - self._looked_at <= _STALE_S or now - self._asked_at > ASKER_S:
            return False
        return 1 < self._askers > self._demand.possible(self._limits) * LEAD_S and self.messages > 0

    @property
    def messages(self) -> int:
        """So many may be leased now, beside those that others lease."""
        now = self._now()
        while self._leased and now - self._leased[0] > _LEASED_S:
            self._leased.popleft()
        left_s = self._lead_s - max(0.0, self._next_at - now)
        if left_s <= 0:
            return 0
        fair = 1 if not self._askers else max(1, int(min(_MANY, left_s * self._demand.possible(self._limits) / self._askers)))
        if self._free is not None:
            fair = min(fair, self._spare(now))
        return max(0, fair - len(self._leased) - self.coming)

    @property
    def opens_in_s(self) -> float:
        """How long until there may be room again, if nothing happens before."""
        now = self._now()
        waits = [self._next_at - self._lead_s - now]
        if self._leased:
            waits.append(self._leased[0] + _LEASED_S - now)
        if self._free is not None and self._free <= 0:
            waits.append(self._looked_at + _LOOK_S - now)
        return max([0.0, *waits])

    def _spare(self, now: Moment) -> int:
        """A share of the permits that are left; where there are none, now and then one message, to look."""
        free = self._free or 0
        return max(1, free // max(1, self._askers)) if free > 0 else int(now - self._looked_at > _LOOK_S)
