"""How many calls come for a lane, how large they are, and how far off estimates of them were: running means."""

from __future__ import annotations

import math
from collections.abc import Callable

from perdure.clock import Moment
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Need

__all__ = ["Demand"]

_SPAN_S = 0.2
_NEWEST = 0.1
_MOST_LONGER = 8.0


class Demand:
    """Of one lane in one process.

    Args:
        now (Callable[[], Moment]): A clock.
    """

    def __init__(self, now: Callable[[], Moment]) -> None:
        self._now = now
        self._since, self._count = now(), 0
        self.a_second: float = 0.0
        """Calls, of late."""
        self.tokens: float = 0.0
        """Of one call."""
        self.usd: float = 0.0
        """Of one call."""
        self.used_share: float = 1.0
        """Of the tokens that calls reserve they use so many, as a rule."""
        self._longer = 1.0

    def came(self, need: Need) -> None:
        """Count one.

        Args:
            need (Need): What it is for.
        """
        self._count += 1
        self.tokens += (need.tokens - self.tokens) * (_NEWEST if self.tokens else 1.0)
        self.usd += (need.usd - self.usd) * (_NEWEST if self.usd else 1.0)
        span_s = self._now() - self._since
        if span_s >= _SPAN_S:
            self.a_second = self._count / span_s
            self._since, self._count = self._now(), 0

    def possible(self, limits: LaneLimits) -> float:
        """Say how many such calls a second a lane takes, of all workers.

        Args:
            limits (LaneLimits): Of the lane.

        Returns:
            float: Infinite where it has no rate.
        """
        requests, tokens = limits.requests_a_second, limits.tokens_a_second
        by_tokens = math.inf if tokens is None or not self.tokens * self.used_share else tokens / (self.tokens * self.used_share)
        return min(math.inf if requests is None else requests, by_tokens)

    def prompt_tokens(self, estimated: int) -> int:
        """Correct an estimate by what was learned of those before.

        Args:
            estimated (int): Of a prompt.

        Returns:
            int: Rounded up.
        """
        return math.ceil(estimated * self._longer)

    def learn(self, estimated: int, counted: int) -> None:
        """Hear what a prompt that was estimated really was.

        Args:
            estimated (int): As `Ask.prompt_tokens` has it.
            counted (int): As the provider counted it.
        """
        if estimated > 0:
            self._longer += (min(_MOST_LONGER, counted / estimated) - self._longer) * _NEWEST
