"""The contract of how long what has ended is kept.

Theory of operation: nothing marks on the hot path when something may go. Whoever tidies walks messages
in the order of putting, as far as they are old enough to have ended long ago, and remembers how far it
came. A message that cannot go yet is looked at again at the first moment at which it could: one that
has ended when its time is up, one that lives a whole period from now, since it must end first. So a
message that lives for years costs one look a period.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.messages.message import State

_DAY_S = 24 * 3600.0
_AGAIN_S = _DAY_S
"""When to look again at what only somebody else keeps here."""
CHANGES_EACH = 20
"""So many changes go for each message that may: they are small, and there are several of each message."""

__all__ = ["CHANGES_EACH", "Keep", "Retention", "Tidied"]


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long what has ended is kept; None is for ever."""

    done_s: float | None = 30 * _DAY_S
    cancelled_s: float | None = 30 * _DAY_S
    dead_s: float | None = None
    """Dead letters stay until somebody discards them, unless this says otherwise."""
    journals_s: float | None = 7 * _DAY_S
    """The steps of done and cancelled messages; a dead letter keeps its own as long as it is kept."""
    audit_s: float | None = 365 * _DAY_S
    changes_s: float | None = 3600.0
    """The change sequence: whoever follows it and was away for longer has to list messages instead."""
    workers_s: float | None = _DAY_S
    """Workers that have ended."""
    calls_s: float | None = _DAY_S
    """Answers to calls with a key of their caller's own; whoever asks again later has the call made again."""
    responses_s: float | None = 30 * _DAY_S
    """Responses of `/v1/responses`, and with them the conversations that go on from them."""
    batches_s: float | None = 30 * _DAY_S
    """Batches that have ended; their files have times of their own."""

    @property
    def shortest_s(self) -> float:
        """The youngest that a message can be when it goes."""
        return min(_or_ever(one) for one in (self.done_s, self.cancelled_s, self.dead_s))

    @property
    def journal_s(self) -> float:
        """The youngest that a message can be when its journal goes."""
        return _or_ever(self.journals_s)

    def message_goes_at(self, state: str | None, ended_at: Moment | None, now: Moment, *, stays: bool) -> Moment:
        """Say when a message goes, or is looked at again.

        Args:
            state (str | None): How it ended; None while it lives.
            ended_at (Moment | None): When.
            now (Moment): The store's time.
            stays (bool): Somebody who lives may still ask for it.

        Returns:
            Moment: Now or earlier where it goes; else the first moment at which it could.
        """
        kept_s = {State.DONE: self.done_s, State.CANCELLED: self.cancelled_s, State.DEAD: self.dead_s}.get(State(state or State.READY))
        if kept_s is None or ended_at is None:  # it must end, or be revived and end, before it can go
            return now + self.shortest_s
        goes_at = ended_at + kept_s
        return now + _AGAIN_S if stays and goes_at <= now else goes_at

    def journal_goes_at(self, state: str | None, ended_at: Moment | None, now: Moment) -> Moment:
        """Say when a run's steps go, or its message is looked at again.

        Args:
            state (str | None): How its message ended; None while it lives.
            ended_at (Moment | None): When.
            now (Moment): The store's time.

        Returns:
            Moment: Now or earlier where they go; else the first moment at which they could.
        """
        if ended_at is None or state == State.DEAD:
            return now + self.journal_s
        return ended_at + self.journal_s


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What one bite of tidying forgot."""

    messages: int = 0
    journals: int = 0
    deeds: int = 0
    changes: int = 0
    workers: int = 0
    calls: int = 0
    responses: int = 0
    batches: int = 0
    more: bool = False
    """Whether another bite would find more at once."""


class Retention(Protocol):
    """Forgets what has been kept long enough. Proved by `perdure.testing.RetentionKit`."""

    async def tidy(self, keep: Keep, *, limit: int = 500) -> Tidied:
        """Forget one bite of it. Any living worker may call it at any moment.

        Changes are kept until they have been counted, however old they are.

        A message goes with all it owns - attempts, journal, edits, its dedup key - once it has ended so long
        ago, and not before whoever put it as a child has ended too. Kept numbers go with it, totals stay.

        Args:
            keep (Keep): How long what is kept.
            limit (int): Look at no more than so many of each kind, at most 2,000; at twenty times as many changes, which are small.

        Returns:
            Tidied: What went.
        """
        ...

    async def sizes(self) -> dict[str, int]:
        """Tell how much room the store takes.

        Returns:
            dict[str, int]: `bytes` in all, and `free_bytes` of these that are free to be used again, where that is known.
        """
        ...


def _or_ever(kept_s: float | None) -> float:
    return math.inf if kept_s is None else kept_s
