"""The contract of what makes a run of another one's journal: a fork from one of its steps, or an import.

Both put a new message whose journal holds steps before it ever ran; the original is not touched. Steps so
taken over keep what they had used, to be shown and to be counted as saved when they are replayed, but that
is no usage of the new run (`Step.origin`).

Proved by `perdure.testing.JournalKit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from perdure.agents.journal import Step, StepState
from perdure.clock import Moment
from perdure.errors.base import Conflict, ErrorFacts, InvalidInput
from perdure.messages.ids import write
from perdure.messages.message import Attempt, Message, MessageId, NewMessage, State, View, Wait
from perdure.resources.usage import Usage
from perdure.security.audit import Actor

__all__ = ["IMPORTED", "RECORDED", "Asked", "Brought", "Ended", "Fork", "Record", "Runs", "Said", "forked"]

RECORDED = frozenset({StepState.DONE, StepState.FAILED})
"""Steps of which the outcome is known: a fork has them. Any other it makes anew."""
IMPORTED = 0
"""`Step.origin` of what came from another installation."""
_ITS_OWN = frozenset({"due_at", "deadline", "dedup_key", "session", "on_dead", "parent"})
"""What a message does not hand on: a moment that may have passed, its name, and its place among others."""


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """How another run is to go on from a step of this one; what is None or UNSET stays as it was."""

    step: int
    """The first step that is made anew, from 1: those before it are taken over as they are recorded."""
    body: bytes | None = None
    """JSON, already validated."""
    lane: str | msgspec.UnsetType | None = msgspec.UNSET
    """With `body`: what the new one needs."""
    priority: int | None = None
    version: str | msgspec.UnsetType | None = msgspec.UNSET


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run had ended that is kept to look at."""

    state: State
    attempts: int = 0
    started_at: Moment | None = None
    usage: Usage | None = None
    error: ErrorFacts | None = None
    result: bytes | None = None
    code_version: str | None = None


class Said(NamedTuple):
    """A message of a conversation, said once for all requests that have it."""

    after: int
    """Place of the one before it; -1 for the first of a conversation."""
    message: bytes
    """JSON."""


class Asked(NamedTuple):
    """What a model was asked, by reference."""

    head: bytes
    """The request without its messages, as JSON."""
    last: int
    """Place of its last message."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a run, as it can be carried elsewhere: no larger than what was said."""

    attempts: Sequence[Attempt] = ()
    steps: Sequence[Step] = ()
    """Those in `asked` without their requests."""
    said: Sequence[Said] = ()
    """Each behind the one it comes after."""
    asked: Mapping[int, Asked] = {}
    """By number of the step."""


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A run from another installation, already validated."""

    message: NewMessage
    record: Record
    used: int = 0
    """Attempts used, where it goes on."""
    ended: Ended | None = None
    """None: it goes on here."""
    wait: Wait | None = None
    """For what it goes on to wait; None is ready."""


class Runs(Protocol):
    """Makes runs of other runs."""

    async def fork(self, id: MessageId, fork: Fork, *, tenant: str | None = None, by: Actor | None = None) -> View:
        """Put a message like another one, whose run goes on from a step of that one's.

        It takes over the steps before that whose outcome is recorded; a call whose outcome is unknown, or
        that was going to be made again, is made anew.

        Args:
            id (MessageId): The original, in whatever state it is.
            fork (Fork): From which step on, and what is different.
            tenant (str | None): Only if it is this tenant's.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            View: The new message.

        Raises:
            NotFound: No such message (of this tenant).
            Conflict: It has no such step.
        """
        ...

    async def record(self, id: MessageId, *, tenant: str | None = None) -> tuple[View, Record]:
        """Read all there is of a run, as of one moment.

        Args:
            id (MessageId): Which.
            tenant (str | None): Only if it is this tenant's.

        Returns:
            tuple[View, Record]: The message, and what its run did.

        Raises:
            NotFound: No such message (of this tenant).
        """
        ...

    async def bring(self, run: Brought, *, by: Actor | None = None) -> View:
        """Put a message that comes with its journal.

        Args:
            run (Brought): All of it. One that had ended is there to be looked at; any other goes on, or waits.
            by (Actor | None): Who does it, for the audit log.

        Returns:
            View: The new message.
        """
        ...


def forked(message: Message, fork: Fork, *, last: int) -> NewMessage:
    """Say what message a fork puts.

    Args:
        message (Message): The original.
        fork (Fork): How it goes on.
        last (int): The original's last step; 0 if it has none.

    Returns:
        NewMessage: Due at once, without a deadline.

    Raises:
        Conflict: There is no such step.
        InvalidInput: That is no step's number.
    """
    if fork.step < 1:
        raise InvalidInput(f"{fork.step} is no step", hint="Steps are numbered from 1.")
    if fork.step > last + 1:
        raise Conflict(
            f"message {write(message.id)!r} has {last} steps and cannot be forked from step {fork.step}",
            hint="`perdure messages steps` shows them; the one after the last takes all of them over.",
        )
    handed_on = (name for name in NewMessage.__struct_fields__ if name not in _ITS_OWN and hasattr(message, name))
    fields: dict[str, Any] = {name: getattr(message, name) for name in handed_on}
    changes: dict[str, Any] = {"body": fork.body or message.body, "priority": message.priority if fork.priority is None else fork.priority}
    told: dict[str, Any] = {name: value for name, value in (("lane", fork.lane), ("version", fork.version)) if value is not msgspec.UNSET}
    return NewMessage(**(fields | changes | told))
