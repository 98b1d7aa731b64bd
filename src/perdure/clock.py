"""The time and the dice: the only file that asks the machine.

Times inside Perdure are a `Moment`, in seconds since 1970-01-01 UTC. Rules take the moment as an
argument and never ask for it; a store asks the one `Clock` it was given, so a test moves time by
replacing that clock.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

Moment: TypeAlias = float
"""Seconds since 1970-01-01 UTC."""

FIRST_MOMENT: Moment = 0.0
LAST_MOMENT: Moment = 253_402_300_799.0
"""The last second of the year 9999: no calendar here goes further."""

_dice = random.Random()  # noqa: S311  # nosec B311 - jitter, not a secret; our own, so that nobody's seed is used up

__all__ = ["FIRST_MOMENT", "LAST_MOMENT", "Clock", "Moment", "SystemClock", "awake", "chance", "iso", "now"]


class Clock(Protocol):
    """Whoever can say what time it is."""

    def now(self) -> Moment:
        """Tell the time.

        Returns:
            Moment: Seconds since 1970-01-01 UTC.
        """
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Moment:
        """Tell the time.

        Returns:
            Moment: Seconds since 1970-01-01 UTC.
        """
        return time.time()


def now() -> Moment:
    """Tell the time by this machine's clock.

    Returns:
        Moment: Seconds since 1970-01-01 UTC.
    """
    return time.time()


def awake() -> float:
    """Read a clock that only goes forward and counts while the machine is suspended.

    Returns:
        float: Seconds since an arbitrary start; only differences mean anything.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def chance() -> float:
    """Throw the dice.

    Returns:
        float: A number in [0, 1), not for secrets.
    """
    return _dice.random()


def iso(moment: Moment | None) -> str | None:
    """Write a moment as RFC 3339 in UTC.

    Args:
        moment (Moment | None): Seconds since 1970-01-01 UTC.

    Returns:
        str | None: For example `2026-11-23T14:00:00.000Z`; None for None. A moment that no calendar has is
            written as the first or last that one has: telling a time must never be what breaks.
    """
    if moment is None:
        return None
    told = min(LAST_MOMENT, max(FIRST_MOMENT, moment))  # in this order, since it also makes something of NaN
    return datetime.fromtimestamp(told, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
