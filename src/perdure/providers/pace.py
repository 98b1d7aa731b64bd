"""How long the deployments of a model took of late: what least latency and hedging go by."""

from __future__ import annotations

from collections import defaultdict, deque

__all__ = ["Pace"]

_LATEST = 100
_ENOUGH = 20
"""Fewer answers say nothing of how slow the slowest are."""
_SLOWEST = 0.95


class Pace:
    """Remembers the latest answers of each lane. For one event loop; of this process alone."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_LATEST))

    def note(self, lane: str, seconds: float) -> None:
        """Remember an answer.

        Args:
            lane (str): Who gave it.
            seconds (float): How long it took.
        """
        self._seconds[lane].append(seconds)

    def typical_s(self, lane: str) -> float | None:
        """Say how long answers take mostly.

        Args:
            lane (str): Whose.

        Returns:
            float | None: The median of the latest; None if there was none yet.
        """
        return self._at(lane, 0.5) if self._seconds.get(lane) else None

    def slow_s(self, lane: str) -> float | None:
        """Say how long all but the slowest answers take.

        Args:
            lane (str): Whose.

        Returns:
            float | None: Nineteen in twenty of the latest took no longer; None while too few are known.
        """
        return self._at(lane, _SLOWEST) if len(self._seconds.get(lane, ())) >= _ENOUGH else None

    def _at(self, lane: str, share: float) -> float:
        known = sorted(self._seconds[lane])
        return known[min(int(share * len(known)), len(known) - 1)]
