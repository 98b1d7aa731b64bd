"""Many messages that were put together, and the one that runs when all of them have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Conflict, ErrorFacts, InvalidInput, NotFound
from perdure.messages import ids
from perdure.messages.message import GroupId, MessageId, NewMessage, State, Wait

__all__ = ["PREFIX", "Group", "Member", "Members", "NewGroup", "after_cursor", "read", "refuse_closed", "wait_for_group", "write"]

PREFIX = "grp_"


class NewGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group that begins with a put."""

    name: str = ""
    """For people."""
    then: NewMessage | None = None
    """The join: it is ready once all members have ended, however they did."""
    open: bool = False
    """More puts will follow; nothing is joined before `close_group`."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """How far a group has come, in numbers that are kept, never counted."""

    id: GroupId
    tenant: str
    name: str
    open: bool
    total: int
    done: int
    dead: int
    cancelled: int
    then: MessageId | None = None
    """The join."""
    created_at: Moment
    ended_at: Moment | None = None
    """When the last member ended, and the join became ready."""

    @property
    def left(self) -> int:
        """How many members have not ended."""
        return self.total - self.done - self.dead - self.cancelled


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One of a group's messages, and what came of it."""

    id: MessageId
    state: State
    result: bytes | None = None
    error: ErrorFacts | None = None
    metadata: Mapping[str, str] = {}


class Members(msgspec.Struct, frozen=True):
    """Some of a group's messages in the order of putting, and where to go on (None at the end)."""

    members: Sequence[Member]
    cursor: str | None = None


def write(number: GroupId) -> str:
    """Write a group's id as text.

    Args:
        number (GroupId): It.

    Returns:
        str: `grp_` and thirteen characters.
    """
    return PREFIX + ids.write(MessageId(number)).removeprefix(ids.PREFIX)


def read(text: str) -> GroupId:
    """Read a group's id from text.

    Args:
        text (str): As `write` makes it.

    Returns:
        GroupId: The number.

    Raises:
        NotFound: This is no group's id.
    """
    if text.startswith(PREFIX):
        try:
            return GroupId(ids.read(ids.PREFIX + text[len(PREFIX) :]))
        except NotFound:
            pass
    raise NotFound(f"{text[:60]!r} is no group's id", hint=f"An id is {PREFIX!r} and 13 letters or digits.")


def after_cursor(cursor: str | None) -> int:
    """Read where a page of members begins.

    Args:
        cursor (str | None): Of the page before.

    Returns:
        int: After which message.

    Raises:
        InvalidInput: It is none of ours.
    """
    number = int(cursor) if cursor is not None and cursor.isascii() and cursor.isdecimal() and len(cursor) <= 19 else -1
    if cursor is not None and not 0 <= number < 1 << 63:
        raise InvalidInput(f"{cursor[:60]!r} is no cursor of ours", hint="Use `next_cursor` of the page before.")
    return max(number, 0)


def wait_for_group(group: GroupId) -> Wait:
    """Say for what a join waits.

    Args:
        group (GroupId): Whose members have to end.

    Returns:
        Wait: Until they have.
    """
    return Wait(why="group", events=(f"group:{group}",))


def refuse_closed(group: GroupId) -> Conflict:
    """Say why nothing can be added to a group.

    Args:
        group (GroupId): Which.

    Returns:
        Conflict: It was closed.
    """
    return Conflict(
        f"group {write(group)!r} takes no more messages",
        hint="Begin it with `open`, put all of them, and close it last.",
    )
