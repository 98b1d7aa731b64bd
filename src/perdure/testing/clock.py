"""A clock that a test moves."""

from __future__ import annotations

from perdure.clock import Moment

__all__ = ["FakeClock"]

_START = 1_790_000_000.0


class FakeClock:
    """Stands still until it is told to go on, and never goes back.

    Args:
        start (Moment): What it says first.
    """

    def __init__(self, start: Moment = _START) -> None:
        self._now = start

    def now(self) -> Moment:
        """Tell the time.

        Returns:
            Moment: The start and all that passed since.
        """
        return self._now

    def pass_by(self, *, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds (float): How much; not negative.

        Raises:
            ValueError: It is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds!r} s")
        self._now += seconds
