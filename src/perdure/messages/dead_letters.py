"""The contract of what people do to dead letters: edit them, and revive or discard many at once.

Whoever does something to many does it in bites: each bite is one transaction with a row of its own in
the audit log, small enough to hold nobody up, and its cursor says where to go on. A sequence of bites
that breaks off has done what it said, and the next one goes on with what is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from perdure.clock import Moment, iso
from perdure.errors.base import Conflict, ErrorFacts, InvalidInput
from perdure.errors.patterns import Line
from perdure.messages.ids import write
from perdure.messages.message import Message, MessageId, State, View
from perdure.security.audit import Actor
from perdure.security.secrets import redact

__all__ = [
    "BITE",
    "SHOWN",
    "Bite",
    "DeadFilter",
    "DeadLetters",
    "DiedOf",
    "Edit",
    "Edited",
    "Pace",
    "edited",
    "not_dead",
    "read_pace",
    "write_pace",
]

BITE = 200
"""Messages in one transaction, if nobody says otherwise; at most 1,000."""
_ROUNDED = 1e-6
"""A moment is written in a cursor in whole milliseconds, and a float is not exact."""
SHOWN = 5
"""How many of them a bite shows."""


class DiedOf(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern of errors, by the lines it is made of."""

    pattern: str
    """`pat_…`, for the audit log."""
    agent: str
    """Whose letters; the filter's `agent` is the same."""
    lines: frozenset[int]
    known: frozenset[int]
    """All lines that are kept: of a letter whose line is not, the line for all that found no room counts."""

    def has(self, error: ErrorFacts | None) -> bool:
        """Tell whether a letter of the agent died of it.

        Args:
            error (ErrorFacts | None): What the letter died of.

        Returns:
            bool: True if so.
        """
        if error is None:
            return False
        line = Line.of(msgspec.structs.replace(error, message=redact(error.message)), where="run", agent=self.agent)
        return line.id in self.lines or (line.id not in self.known and line.overflow.id in self.lines)


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters; None means any."""

    tenant: str | None = None
    queue: str | None = None
    agent: str | None = None
    code: str | None = None
    died_after: Moment | None = None
    died_before: Moment | None = None
    text: str | None = None
    """In the error's message or the body, in upper or lower case."""
    died_of: DiedOf | None = None

    @property
    def named(self) -> dict[str, object]:
        """As the audit log writes it."""
        said: dict[str, object] = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        said |= {moment: iso(getattr(self, moment)) for moment in ("died_after", "died_before") if moment in said}
        return said | ({} if self.died_of is None else {"died_of": self.died_of.pattern})


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different about a dead letter; what is not set stays.

    The lane belongs to the body (of `chat`), so whoever changes one says the other.
    """

    body: bytes | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    timeout_s: float | UnsetType | None = UNSET
    deadline: Moment | UnsetType | None = UNSET
    max_wait_s: float | UnsetType = UNSET
    version: str | UnsetType | None = UNSET
    lane: str | UnsetType | None = UNSET
    metadata: Mapping[str, str] | UnsetType = UNSET

    @property
    def changes(self) -> dict[str, Any]:
        """What is set, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}

    def kept_of(self, before: Message) -> dict[str, Any]:
        """Say what is kept of a letter as it was.

        Args:
            before (Message): It.

        Returns:
            dict[str, Any]: The fields that are said, with what they were; the lane, which no person says, only if it becomes another.
        """
        return {name: getattr(before, name) for name in self.changes if name != "lane" or self.lane != before.lane}


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """One edit of a message: who, when, and what it was before."""

    at: Moment
    who: str
    before: Mapping[str, Any]
    """The fields that were changed, without the body."""
    body: bytes | None = None
    """The body before, if it was changed."""


class Bite(msgspec.Struct, frozen=True, kw_only=True):
    """What one bite did."""

    done: int = 0
    """Messages that were moved, or that fit the filter where nothing was to be moved."""
    refused: int = 0
    """Those that could not: their deadline has passed, or somebody was faster."""
    sample: Sequence[MessageId] = ()
    """Some of them."""
    due_at: Moment | None = None
    """At a pace: when the last of them comes back; where something is discarded or edited, when to go on."""
    cursor: str | None = None
    """Where to go on; None at the end."""


class Pace(msgspec.Struct, frozen=True):
    """How fast a sequence goes: the i-th letter is due at `start` + i / `per_s`."""

    per_s: float
    start: Moment
    done: int = 0

    def at(self, i: int) -> Moment:
        """Say when one becomes due.

        Args:
            i (int): Which of this bite, from 0.

        Returns:
            Moment: Its moment.
        """
        return self.start + (self.done + i) / self.per_s

    def room(self, now: Moment, limit: int) -> int:
        """Say how many may be done now, where nothing can be put off until it is due.

        Args:
            now (Moment): The time.
            limit (int): No more than so many.

        Returns:
            int: Those whose moment has come.
        """
        return max(0, min(limit, math.floor((now - self.start) * self.per_s + _ROUNDED) + 1 - self.done))

    def after(self, done: int) -> Pace:
        """Go on.

        Args:
            done (int): So many more are done.

        Returns:
            Pace: For the next bite.
        """
        return Pace(self.per_s, self.start, self.done + done)


class DeadLetters(Protocol):
    """Does to dead letters what people want of them. Proved by `perdure.testing.OperatingKit`.

    A single letter is revived by `MessageStore.revive`. All of it takes who does it, for the audit log.
    """

    async def edit(self, id: MessageId, edit: Edit, *, tenant: str | None = None, by: Actor | None = None) -> View:
        """Change a dead letter before its next life. What it was before is kept, with who and when.

        Its journal stays: a recorded step whose call is the same again is not made again, one that is
        called with other arguments now is a divergence and follows its rules.

        Args:
            id (MessageId): Which.
            edit (Edit): What is to be different, already validated.
            tenant (str | None): Only if it is this tenant's.
            by (Actor | None): Who does it.

        Returns:
            View: As it is now, still dead.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It is no dead letter.
        """
        ...

    async def edits(self, id: MessageId, *, tenant: str | None = None) -> Sequence[Edited]:
        """List how a message was edited, whatever became of it.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            Sequence[Edited]: Oldest first.

        Raises:
            NotFound: No such message (of this tenant).
        """
        ...

    async def discard(self, id: MessageId, *, tenant: str | None = None, by: Actor | None = None) -> None:
        """Forget a dead letter with all it owns: journal, attempts, edits, dedup key. The audit row stays.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.
            by (Actor | None): Who does it.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It is no dead letter.
        """
        ...

    async def look(self, filter: DeadFilter, *, limit: int = 10_000, cursor: str | None = None, shown: int = SHOWN) -> Bite:
        """Count the letters that fit, and show some.

        Args:
            filter (DeadFilter): Which.
            limit (int): Count no further than this at once.
            cursor (str | None): Of the bite before.
            shown (int): So many of them are its sample.

        Returns:
            Bite: Those put last first.
        """
        ...

    async def revive(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Give the letters that fit another life.

        Args:
            filter (DeadFilter): Which.
            per_s (float | None): So many become due in a second, over all bites of one cursor; None all at once.
            limit (int): At most so many, 1 to 1000.
            cursor (str | None): Of the bite before.
            by (Actor | None): Who does it.

        Returns:
            Bite: What was done; those put last first.
        """
        ...

    async def discard_all(
        self, filter: DeadFilter, *, per_s: float | None = None, limit: int = BITE, cursor: str | None = None, by: Actor | None = None
    ) -> Bite:
        """Forget the letters that fit, with all they own.

        Args:
            filter (DeadFilter): Which.
            per_s (float | None): So many in a second, over all bites of one cursor: a bite that comes earlier does less, or
                nothing, and says from when it pays to go on. None as many as there are.
            limit (int): At most so many, 1 to 1000.
            cursor (str | None): Of the bite before.
            by (Actor | None): Who does it.

        Returns:
            Bite: What was done.
        """
        ...


def edited(message: Message, edit: Edit) -> Message:
    """Say what a message is after an edit.

    Args:
        message (Message): As it was.
        edit (Edit): What is to be different.

    Returns:
        Message: As it is then.
    """
    return msgspec.structs.replace(message, **edit.changes)


def not_dead(id: MessageId, state: State) -> Conflict:
    """Say that this can only be done to dead letters.

    Args:
        id (MessageId): Which.
        state (State): Where it is.

    Returns:
        Conflict: To be raised.
    """
    return Conflict(f"message {write(id)!r} is {state.value}, no dead letter")


def write_pace(below: int, pace: Pace | None) -> str:
    """Write a cursor.

    Args:
        below (int): Go on with ids smaller than this.
        pace (Pace | None): How far a paced sequence has come.

    Returns:
        str: For whoever goes on.
    """
    return str(below) if pace is None else f"{below}.{pace.done}.{round(pace.start * 1000)}"


def read_pace(cursor: str | None, per_s: float | None, now: Moment) -> tuple[int, Pace | None]:
    """Read a cursor.

    Args:
        cursor (str | None): As `write_pace` wrote it; None begins.
        per_s (float | None): So many become due in a second.
        now (Moment): When it begins.

    Returns:
        tuple[int, Pace | None]: Only ids smaller than this, and how far a paced sequence has come.

    Raises:
        InvalidInput: It is none of ours.
    """
    if cursor is None:
        return 2**63 - 1, None if per_s is None else Pace(per_s, now)
    numbers = cursor.split(".")
    if len(numbers) not in (1, 3) or not all(number.isascii() and number.isdecimal() and len(number) < 20 for number in numbers):
        raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the answer before.")
    below = int(numbers[0])
    if per_s is None:
        return below, None
    start, done = (now, 0) if len(numbers) == 1 else (int(numbers[2]) / 1000, int(numbers[1]))
    return below, Pace(per_s, start, done)
