"""The round in which schedules are fired. Every worker has one, and every server: whoever lives keeps the calendar."""

from __future__ import annotations

from perdure.clock import Clock
from perdure.messages.schedules import ScheduleStore

__all__ = ["Firing"]

FIRE_S = 0.5
_SOONEST_S = 0.01


class Firing:
    """Looks whether a schedule's moment has come.

    Args:
        schedules (ScheduleStore): Whose.
        clock (Clock): The store's time.
    """

    def __init__(self, schedules: ScheduleStore, clock: Clock) -> None:
        self._schedules = schedules
        self._clock = clock

    async def once(self) -> float:
        """Fire what is to be fired.

        Returns:
            float: Seconds until the next round.
        """
        fired = await self._schedules.fire()
        if fired.next_at is None:
            return FIRE_S
        return min(FIRE_S, max(_SOONEST_S, fired.next_at - self._clock.now()))
