"""How many slow calls may be asked for a second time while the first one is still under way: a budget in calls."""

from __future__ import annotations

__all__ = ["Hedge"]

_SAVED = 10.0
"""So many at most are saved up in quiet times, so that a provider that slows down as a whole is not asked twice for all."""


class Hedge:
    """Allows a share of calls. For one event loop; of this process alone.

    Args:
        percent (float): Of all calls.
    """

    def __init__(self, percent: float) -> None:
        self._each = percent / 100
        self._saved = 0.0

    def called(self) -> None:
        """Note a call; a share of it is saved."""
        self._saved = min(self._saved + self._each, _SAVED)

    def take(self) -> bool:
        """Take one from the budget.

        Returns:
            bool: False if too little is saved.
        """
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
