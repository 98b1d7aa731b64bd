"""The database's clock, as this process knows it: how far it is ahead of a clock of ours that only goes forward."""

from __future__ import annotations

from perdure.clock import Moment, awake, now
from perdure.stores.postgres.connection import Connection

__all__ = ["DatabaseClock"]

_LOOKS = 3


class DatabaseClock:
    """Tells the database's time without asking it each time."""

    def __init__(self) -> None:
        self._ahead_s = now() - awake()  # until the database has been asked
        self._asked = False

    def now(self) -> Moment:
        """Tell the time.

        Returns:
            Moment: Seconds since 1970-01-01 UTC, as the database counts them.
        """
        return awake() + self._ahead_s

    async def ask(self, connection: Connection) -> None:
        """Ask the database, a few times; the quickest answer is the nearest.

        Args:
            connection (Connection): Any.
        """
        found: list[tuple[float, float]] = []
        for _ in range(_LOOKS):
            asked_at = awake()
            told = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::double precision")
            took_s = awake() - asked_at
            found.append((took_s, told + took_s / 2 - (asked_at + took_s)))
        took_s, ahead_s = min(found)
        if not self._asked or abs(ahead_s - self._ahead_s) > took_s / 2:  # else it is within what the asking blurs: let time flow evenly
            self._ahead_s, self._asked = ahead_s, True
