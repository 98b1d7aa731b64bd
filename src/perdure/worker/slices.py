"""What is taken of a lane for calls that are about to come, so that where many come they need no way to the store."""

from __future__ import annotations

from perdure.clock import Moment
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Need
from perdure.worker.demand import Demand

__all__ = ["SLICE_S", "Slice", "slice_wanted"]

SLICE_S, SLICE_SHARE, SLICE_FROM = 1.0, 0.05, 10.0
"""How long a slice is good for, how much of a lane it is at most, and from how many calls a second on there are any."""
AHEAD_S = 0.25
"""A slice is for the calls of so long."""


class Slice:
    """A grant for several calls.

    Args:
        need (Need): What was granted.
        slot (int): Where it is written in the book.
        starts_at (Moment): From when on it may be used.
    """

    __slots__ = ("_requests", "_tokens", "_usd", "slot", "starts_at")

    def __init__(self, need: Need, slot: int, starts_at: Moment) -> None:
        self.slot: int = slot
        self.starts_at: Moment = starts_at
        self._requests, self._tokens, self._usd = need.requests, need.tokens, need.usd

    def ends_at(self) -> Moment:
        """Tell from when on it is good for nothing.

        Returns:
            Moment: By the clock of `starts_at`.
        """
        return self.starts_at + SLICE_S

    def take(self, need: Need, now: Moment) -> bool:
        """Take what one call needs, if it is there.

        Args:
            need (Need): Of the call.
            now (Moment): By the clock of `starts_at`.

        Returns:
            bool: Whether it was.
        """
        if not self.starts_at <= now < self.ends_at():
            return False
        if self._requests < need.requests or self._tokens < need.tokens or self._usd < need.usd:
            return False
        self._requests, self._tokens, self._usd = self._requests - need.requests, self._tokens - need.tokens, self._usd - need.usd
        return True

    def rest(self) -> tuple[Correction, int]:
        """Say what of it is left.

        Returns:
            tuple[Correction, int]: What gives it back, and for how many calls it was.
        """
        return Correction(slot=self.slot, requests=-self._requests, tokens=-self._tokens, usd=-self._usd), self._requests


def slice_wanted(limits: LaneLimits, demand: Demand) -> Need | None:
    """Say what to take for calls that are about to come.

    Args:
        limits (LaneLimits): Of the lane.
        demand (Demand): How many have come of late, and how large they were.

    Returns:
        Need | None: No more than the next quarter of a second is likely to bring, a second's worth, and a twentieth of the lane;
        None where there are too few calls for that.
    """
    a_second = demand.possible(limits)
    if a_second < SLICE_FROM:
        return None
    most = [demand.a_second * AHEAD_S, a_second * SLICE_S]
    most += [SLICE_SHARE * limit for limit in (limits.rpm, limits.at_once) if limit is not None]
    if demand.tokens and limits.tpm is not None:
        most.append(SLICE_SHARE * limits.tpm / demand.tokens)
    if demand.usd:
        most += [SLICE_SHARE * usd / demand.usd for usd in (limits.usd_per_day, limits.usd_per_month) if usd is not None]
    n = int(min(most))
    return Need(requests=n, tokens=int(n * demand.tokens), usd=n * demand.usd, patience_s=AHEAD_S) if n > 1 else None
