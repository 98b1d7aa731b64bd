"""Schedules: messages that are put again and again, by the calendar of a place.

Theory of operation: a schedule knows the one moment at which it fires next. Whoever notices that this
moment has come puts the message and moves the moment on, in one transaction that first checks that the
moment is still the same: so any number of processes may look, each moment is fired once, and a crash
between the two cannot be. What was missed while nobody looked is judged by `plan`, which is given the
time and decides; stores only write down what it says.

The calendar is cron's, with Debian's rules where clocks are changed: a fixed time that the spring skips
comes right after the gap, one that the autumn repeats comes once; `*` and `*/n` follow real time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from perdure.clock import Moment, iso
from perdure.errors.base import Conflict, InvalidInput, NotFound
from perdure.messages.message import MessageId, NewMessage, Receipt
from perdure.security.audit import Actor

__all__ = [
    "AT_MOST",
    "ON_TIME_S",
    "Calendar",
    "Fired",
    "Misfire",
    "NewSchedule",
    "Overlap",
    "Plan",
    "Schedule",
    "ScheduleStore",
    "message_of",
    "no_such",
    "plan",
    "taken",
]

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


class Misfire(StrEnum):
    """What becomes of moments that passed while nobody looked."""

    SKIP = "skip"  # nothing
    ONCE = "once"  # one message for all of them
    ALL = "all"  # one message for each, up to `AT_MOST`


class Overlap(StrEnum):
    """What becomes of a moment at which the message before has not ended."""

    ALLOW = "allow"
    SKIP = "skip"


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """What is put, and when, already validated. Its name is its tenant's."""

    name: str
    cron: str
    message: NewMessage
    timezone: str = "UTC"
    misfire: Misfire = Misfire.ONCE
    overlap: Overlap = Overlap.ALLOW


class Schedule(NewSchedule, frozen=True, kw_only=True):
    """A schedule as kept."""

    paused: bool = False
    next_at: Moment | None = None
    """When it fires next; None while it is paused."""
    last_at: Moment | None = None
    """The moment it was last meant to fire at."""
    last_id: MessageId | None = None
    """The message it put last."""
    fired: int = 0
    """Messages it has put."""
    passed_over: int = 0
    """Moments at which it put nothing: missed, or the message before had not ended."""
    created_at: Moment = 0.0


class Plan(NamedTuple):
    """What to do about the moments that have come."""

    moments: Sequence[Moment]
    """One message for each."""
    passed_over: int
    next_at: Moment


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of firing did."""

    put: Sequence[MessageId] = ()
    next_at: Moment | None = None
    """When the next schedule fires, as far as known."""


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


def message_of(schedule: Schedule, moment: Moment, *, by_hand: bool = False) -> NewMessage:
    """Write the message of one firing.

    Args:
        schedule (Schedule): Whose.
        moment (Moment): The planned one.
        by_hand (bool): Somebody asked for it beside the calendar.

    Returns:
        NewMessage: With the schedule's name and the moment among its metadata, and a key of its own.
    """
    written = iso(moment) or ""
    return msgspec.structs.replace(
        schedule.message,
        dedup_key=None if by_hand else f"schedule:{schedule.name}:{written}",
        metadata={**schedule.message.metadata, "schedule": schedule.name, "planned_at": written},
    )


def no_such(name: str) -> NotFound:
    """Say that there is no such schedule.

    Args:
        name (str): What was asked for.

    Returns:
        NotFound: To be raised.
    """
    return NotFound(f"there is no schedule {name[:100]!r}", hint="`perdure schedules list` shows all.")


def taken(name: str) -> Conflict:
    """Say that there is such a schedule already.

    Args:
        name (str): What was to be added.

    Returns:
        Conflict: To be raised.
    """
    return Conflict(f"there is a schedule {name!r} already", hint="Replace it, or choose another name.")


class ScheduleStore(Protocol):
    """Keeps schedules. Proved by `perdure.testing.ScheduleKit`."""

    async def add(self, new: NewSchedule, *, replace: bool = False, by: Actor | None = None) -> Schedule:
        """Keep a schedule; its first moment is the next of its calendar.

        Args:
            new (NewSchedule): It.
            replace (bool): Take the place of one with this name, which keeps its past and its pause.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            Schedule: As kept.

        Raises:
            Conflict: There is one with this name, and it is not to be replaced.
            InvalidInput: Its cron or time zone means nothing.
        """
        ...

    async def get(self, name: str, *, tenant: str = "default") -> Schedule:
        """Look at one.

        Args:
            name (str): Which.
            tenant (str): Whose.

        Returns:
            Schedule: It.

        Raises:
            NotFound: There is none.
        """
        ...

    async def list(self, *, tenant: str | None = None) -> Sequence[Schedule]:
        """List schedules.

        Args:
            tenant (str | None): Only this tenant's.

        Returns:
            Sequence[Schedule]: By name.
        """
        ...

    async def pause(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire no more until it is resumed. Pausing twice changes nothing.

        Args:
            name (str): Which.
            tenant (str): Whose.
            by (Actor | None): Who does it.

        Returns:
            Schedule: As it is now.

        Raises:
            NotFound: There is none.
        """
        ...

    async def resume(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Schedule:
        """Let one fire again, from its next moment on: what passed meanwhile was not missed.

        Args:
            name (str): Which.
            tenant (str): Whose.
            by (Actor | None): Who does it.

        Returns:
            Schedule: As it is now.

        Raises:
            NotFound: There is none.
        """
        ...

    async def remove(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> None:
        """Forget one. What it has put stays.

        Args:
            name (str): Which.
            tenant (str): Whose.
            by (Actor | None): Who does it.

        Raises:
            NotFound: There is none.
        """
        ...

    async def run(self, name: str, *, tenant: str = "default", by: Actor | None = None) -> Receipt:
        """Put its message now, whatever its calendar and its pause say. Its next moment stays.

        Args:
            name (str): Which.
            tenant (str): Whose.
            by (Actor | None): Who does it.

        Returns:
            Receipt: Of the message.

        Raises:
            NotFound: There is none.
        """
        ...

    async def fire(self) -> Fired:
        """Put the messages of all schedules whose moment has come. Any living process may call it at any moment.

        Each moment is fired once, however many call at once and wherever one of them dies. Costs one look
        when there is nothing to do.

        Returns:
            Fired: What was done.
        """
        ...


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _bad(f"timezone: there is no time zone {name[:60]!r}; write one such as 'Europe/Berlin'") from error


def _bad(problem: str) -> InvalidInput:
    return InvalidInput(problem, problems=[problem])
