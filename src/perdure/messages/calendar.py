"""When a calendar's moments come, and what to do about those that came while nobody looked.

The calendar is cron's, with Debian's rules where clocks are changed: a fixed time that the spring skips
comes right after the gap, one that the autumn repeats comes once; `*` and `*/n` follow real time. Nothing
here reads a clock.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from perdure.clock import Moment
from perdure.errors.base import InvalidInput

ON_TIME_S = 60.0
"""A moment that is noticed so late was not missed."""
AT_MOST = 100
"""So many missed moments are made up for by `Misfire.ALL`, the newest; older ones are passed over."""
_STEPS = 3000
_FAR_S = 2 * 24 * 3600.0
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = "minute hour day-of-month month day-of-week"

__all__ = ["AT_MOST", "ON_TIME_S", "Calendar", "Misfire", "Plan", "plan"]


class Misfire(StrEnum):
    """What becomes of moments that passed while nobody looked."""

    SKIP = "skip"  # nothing
    ONCE = "once"  # one message for all of them
    ALL = "all"  # one message for each, up to `AT_MOST`


class Plan(NamedTuple):
    """What to do about the moments that have come."""

    moments: Sequence[Moment]
    """One message for each."""
    passed_over: int
    next_at: Moment


class Calendar:
    """When a schedule fires.

    Args:
        cron (str): Five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        timezone (str): A name of the time zone database, such as `Europe/Berlin`.

    Raises:
        InvalidInput: One of the two means nothing, or no such moment ever comes.
    """

    def __init__(self, cron: str, timezone: str = "UTC") -> None:
        self._fields = _SHORT.get(cron.strip().lower(), cron)
        self._zone = _zone(timezone)
        if self._fields.startswith("@") or len(self._fields.split()) != len(_FIELDS.split()):
            raise _bad(f"cron: {cron[:100]!r} must have five fields ({_FIELDS}), or be one of {', '.join(_SHORT)}")
        try:
            next(CronSim(self._fields, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise _bad(f"cron: {cron[:100]!r}: {str(error).lower()}") from error
        except StopIteration:
            raise _bad(f"cron: {cron[:100]!r} names a day that never comes") from None

    def after(self, moment: Moment) -> Moment:
        """Find the next moment.

        Args:
            moment (Moment): Any.

        Returns:
            Moment: The first after it.
        """
        return next(self.moments(moment))

    def upcoming(self, moment: Moment, n: int) -> list[Moment]:
        """List the next moments.

        Args:
            moment (Moment): Any.
            n (int): How many.

        Returns:
            list[Moment]: Those after it.
        """
        return list(itertools.islice(self.moments(moment), n))

    def moments(self, moment: Moment) -> Iterator[Moment]:
        """Go through the moments to come.

        Args:
            moment (Moment): Any.

        Yields:
            Moment: Each after it, in order.
        """
        newest = moment
        for when in CronSim(self._fields, datetime.fromtimestamp(moment, self._zone)):
            found = when.timestamp()
            if found > newest:  # the hour that autumn repeats is told as the first of the two
                newest = found
                yield found


def plan(calendar: Calendar, misfire: Misfire, next_at: Moment, now: Moment) -> Plan:
    """Decide what to do about the moments that have come.

    Args:
        calendar (Calendar): When it fires.
        misfire (Misfire): What becomes of those that were missed.
        next_at (Moment): The moment it was to fire at next, which has come.
        now (Moment): The store's time.

    Returns:
        Plan: For which moments a message is put, and when it fires next.
    """
    come, count, following = _come(calendar, next_at, now)
    if misfire is Misfire.ALL:
        chosen = list(come)
    elif misfire is Misfire.ONCE or now - come[-1] <= ON_TIME_S:
        chosen = [come[-1]]
    else:
        chosen = []
    return Plan(chosen, count - len(chosen), following)


def _come(calendar: Calendar, next_at: Moment, now: Moment) -> tuple[deque[Moment], int, Moment]:
    """The last of the moments from `next_at` until now, how many there were, and the one after.

    After a very long time the rest is counted only as far as was looked: nobody waits for half a million
    minutes to be told one by one.
    """
    come, count, from_when = deque([next_at], maxlen=AT_MOST), 1, next_at
    while True:
        for step, moment in enumerate(calendar.moments(from_when)):
            if moment > now:
                return come, count, moment
            come.append(moment)
            count += 1
            if step >= _STEPS and now - _FAR_S > moment:
                break
        from_when = now - _FAR_S


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _bad(f"timezone: there is no time zone {name[:60]!r}; write one such as 'Europe/Berlin'") from error


def _bad(problem: str) -> InvalidInput:
    return InvalidInput(problem, problems=[problem])
