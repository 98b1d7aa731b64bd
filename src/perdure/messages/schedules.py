"""Schedules: messages that are put again and again, by the calendar of a place.

Theory of operation: a schedule knows the one moment at which it fires next. Whoever notices that this
moment has come puts the message and moves the moment on, in one transaction that first checks that the
moment is still the same: so any number of processes may look, each moment is fired once, and a crash
between the two cannot be. What was missed while nobody looked is judged by `plan` (`calendar.py`),
which is given the time and decides; stores only write down what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment, iso
from perdure.errors.base import Conflict, NotFound
from perdure.messages.calendar import Misfire
from perdure.messages.message import MessageId, NewMessage, Receipt
from perdure.security.audit import Actor

__all__ = ["Fired", "NewSchedule", "Overlap", "Schedule", "ScheduleStore", "message_of", "no_such", "taken"]


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


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of firing did."""

    put: Sequence[MessageId] = ()
    next_at: Moment | None = None
    """When the next schedule fires, as far as known."""


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
