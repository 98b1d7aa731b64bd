"""The contract of limited lanes: what is lent to whom, so that all processes together stay within a limit.

Theory of operation. A lane (provider, account, model) has one *book* in the store. Whoever wants to call comes for a
*turn*: it tells what it has learned since the last one (true usage, calls that are over) and says what it needs;
the store answers each need with a *grant*, which says how long from now the call may start, or with how long there will
be nothing. Rules are plain functions of the book (`book.py`, `probes.py`); a store only sees to it that one turn follows the other.

All times in answers are spans, counted from the moment of the answer: nobody compares clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from perdure.clock import Moment
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits

__all__ = ["Correction", "Grant", "Heard", "LaneStatus", "LaneStore", "Need", "NotYet", "Reason", "Standing", "Turn"]


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to use. What it will really take is told later, by a `Correction`."""

    requests: int = 1
    """More than one: a slice, for calls that are about to come."""
    tokens: int = 0
    usd: float = 0.0
    patience_s: float = 0.0
    """A start further off than this is of no use."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant's use differs from it, in the part of the book that the grant was written in. Negative gives back."""

    slot: int
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    reserved: int = 0
    """Tokens that were reserved for calls of which it is known by now what they used."""
    used: int = 0
    """And what that is."""


class Reason(StrEnum):
    """What stands against a need."""

    RATE = "lane-rate"
    AT_ONCE = "lane-at-once"
    BUDGET = "lane-budget"
    TOO_DEAR = "lane-too-dear"
    """It would cost more than the whole budget: there is no point in waiting."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The right to start after a while."""

    wait_s: float
    slot: int
    """Where it is written; corrections name it."""


class NotYet(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing, for so long."""

    wait_s: float
    why: Reason


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn has brought."""

    answers: Sequence[Grant | NotYet]
    """One for each need, in their order."""
    next_s: float
    """How long until the next call may start, as far as is known."""
    free: int | None
    """Calls that may still begin beside those under way; None without such a limit."""
    askers: int
    """Workers that share the lane now, this one included."""
    pressed: bool
    """Whether others wait for what is lent."""
    used_share: float = 1.0
    """Of the tokens that are reserved so many are used, as a rule."""


class Heard(StrEnum):
    """What a worker says of a lane's health."""

    DOWN = "down"  # its own circuit has opened
    ASKS = "asks"  # may it make the one call that goes through to see?
    FAILED = "failed"  # that call met the same again
    MENDED = "mended"  # that call was answered
    GAVE_UP = "gave-up"  # that call ended without saying anything of the lane


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane stands."""

    healthy: bool = False
    """All calls may go through."""
    probe: bool = False
    """One may, and it is the caller's: it says how it went."""
    wait_s: float = 0.0
    """Else: how long to wait before asking again."""


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A limited lane, as shown."""

    name: str
    limits: LaneLimits
    """As those had them who came last."""
    requests: int = 0
    """Of the last minute."""
    tokens: int = 0
    """Of the last minute: used, or reserved where it is not known yet."""
    usd_today: float = 0.0
    usd_this_month: float = 0.0
    at_once: int = 0
    """Calls under way, or lent for; 0 where that is not limited."""
    waiting: int = 0
    """Calls that were told to wait the last time their workers came."""
    workers: int = 0
    """Workers that share it now."""
    next_at: Moment | None = None
    """When the next call may start; None for now."""
    down: bool = False
    """Its circuit is open."""
    closed_until: Moment | None = None
    closed_why: str | None = None
    """As given to `close_lane`."""


class LaneStore(Protocol):
    """Keeps the books of lanes. Proved by `perdure.testing.LaneKit`."""

    async def turn(
        self,
        lane: str,
        limits: LaneLimits,
        *,
        worker: int,
        needs: Sequence[Need] = (),
        corrections: Sequence[Correction] = (),
        holds: int = 0,
        waiting: int = 0,
        headroom: Headroom | None = None,
        slow_for_s: float | None = None,
    ) -> Turn:
        """Take one turn at a lane's book.

        In any span of a minute no more than the limits is granted to all workers together, as measured by when grants
        start; corrections count from when they are told. Calls at once are those that living workers
        hold: a worker's are free again once it is declared dead. Money and tokens that a dead
        worker did not account for count as used, since nobody can know.

        Args:
            lane (str): `provider/model`.
            limits (LaneLimits): What the caller's settings say.
            worker (int): Who; registered and alive.
            needs (Sequence[Need]): Answered in their order: who is told to wait is not overtaken by who comes behind.
            corrections (Sequence[Correction]): What became of earlier grants; taken into account first.
            holds (int): How many of the calls that were granted are not over yet: said anew each time, so that an answer which
                was lost leaves nothing behind.
            waiting (int): How many calls of the worker wait, besides these; for people.
            headroom (Headroom | None): What the provider said of itself.
            slow_for_s (float | None): The provider refused a call: nothing starts for so long, and then gently.

        Returns:
            Turn: What was granted.

        Raises:
            WorkerFenced: The worker was declared dead. Nothing was changed.
        """
        ...

    async def health(self, lane: str, heard: Heard, *, worker: int, rest_s: float, longest_rest_s: float) -> Standing:
        """Tell or ask how a lane stands, so that of all processes one alone makes the call that goes through to see.

        Args:
            lane (str): `provider/model`.
            heard (Heard): What the worker says. What it says of a probe that is not its own (any more) changes nothing.
            worker (int): Who; registered and alive. A probe of a dead worker counts as given up.
            rest_s (float): How long the lane is left alone at first.
            longest_rest_s (float): How long at most, while probes keep failing.

        Returns:
            Standing: How it stands now.

        Raises:
            WorkerFenced: The worker was declared dead. Nothing was changed.
        """
        ...

    async def lanes(self) -> Sequence[LaneStatus]:
        """List the lanes that have a book, or are closed.

        Returns:
            Sequence[LaneStatus]: By name.
        """
        ...
