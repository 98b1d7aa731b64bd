"""A lane's book: what of it was granted in the last minute, to whom, and how it stands. Plain data; `turns.py` has the rules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from perdure.clock import Moment
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import LaneStatus

__all__ = ["ASKER_S", "SLACK_S", "SLOT_S", "Book", "Entry", "decode", "encode", "slot_of", "status"]

SLOT_S = 0.5
"""Grants are written down by half seconds."""
SLACK_S = 0.5
"""So much longer than a minute a grant counts: between it and the arrival at the provider lie a commit and a network."""
ASKER_S = 10.0
"""Whoever has not come for so long does not share the lane now."""

PROBE_S = 900.0
"""A call that goes through to see and has not ended by then counts as given up."""


class Entry(msgspec.Struct, array_like=True):
    """What starts in one half second."""

    slot: int
    requests: int
    tokens: int


class Spent(msgspec.Struct, array_like=True):
    """Money of a day or a month."""

    span: str = ""
    usd: float = 0.0


class Asker(msgspec.Struct, array_like=True):
    """A worker that has come for a turn."""

    at: Moment
    waiting: int


class Left(msgspec.Struct, array_like=True):
    """What the provider said may still be used until a moment."""

    count: float = 0.0
    since: Moment = 0.0
    until: Moment = 0.0
    a_second: float = 0.0
    """So much more of it comes."""

    def starts_at(self, wanted: float, at: Moment) -> Moment:
        """Tell when there is enough.

        Args:
            wanted (float): How much.
            at (Moment): Not before.

        Returns:
            Moment: `at`, or later.
        """
        if at >= self.until or wanted <= self.count + self.a_second * (at - self.since):
            return at
        return self.until if not self.a_second else min(self.until, self.since + (wanted - self.count) / self.a_second)


class Book(msgspec.Struct, array_like=True):
    """All that is known of a lane. Times are the store's."""

    limits: LaneLimits = LaneLimits()
    entries: list[Entry] = []
    """Oldest first."""
    requests_at: Moment = 0.0
    """When the next request would start if requests came evenly."""
    tokens_at: Moment = 0.0
    """The same by tokens."""
    last_at: Moment = 0.0
    """The latest start granted; none is granted before it."""
    not_before: Moment = 0.0
    """The provider refused a call and named this moment."""
    gentle_at: Moment = 0.0
    gentle_share: float = 1.0
    """Of full speed, at `gentle_at`; it grows from there."""
    permits: dict[int, int] = {}
    """Calls under way, by worker."""
    askers: dict[int, Asker] = {}
    day: Spent = msgspec.field(default_factory=Spent)
    month: Spent = msgspec.field(default_factory=Spent)
    requests_left: Left = msgspec.field(default_factory=Left)
    tokens_left: Left = msgspec.field(default_factory=Left)
    down: bool = False
    """Its circuit is open, or one call goes through to see."""
    down_until: Moment = 0.0
    rest_s: float = 0.0
    prober: int = 0
    """Who makes that call; 0 for nobody."""
    probed_at: Moment = 0.0
    used_share: float = 1.0
    """Of the tokens that are reserved so many are used, as a rule."""

    def add(self, slot: int, requests: int, tokens: int) -> None:
        """Write something down.

        Args:
            slot (int): Of when it starts.
            requests (int): How many more; negative for less.
            tokens (int): The same.
        """
        at = bisect_left(self.entries, slot, key=_slot)
        if at < len(self.entries) and self.entries[at].slot == slot:
            entry = self.entries[at]
            entry.requests, entry.tokens = max(0, entry.requests + requests), max(0, entry.tokens + tokens)
        else:
            self.entries.insert(at, Entry(slot, max(0, requests), max(0, tokens)))

    def ends_at(self, entry: Entry) -> Moment:
        """Tell until when something counts.

        Args:
            entry (Entry): Which.

        Returns:
            Moment: A little more than a minute after its half second.
        """
        return (entry.slot + 1) * SLOT_S + self.limits.minute_s + SLACK_S

    def tidy(self, now: Moment, living: Collection[int]) -> None:
        """Forget what has passed, and who has died.

        Args:
            now (Moment): The store's time.
            living (Collection[int]): The workers alive.
        """
        over = 0
        while over < len(self.entries) and self.ends_at(self.entries[over]) <= now:
            over += 1
        del self.entries[:over]
        self.permits = {worker: n for worker, n in self.permits.items() if n > 0 and worker in living}
        self.askers = {worker: one for worker, one in self.askers.items() if worker in living and now - one.at <= ASKER_S}
        if self.prober and (self.prober not in living or now - self.probed_at > PROBE_S):
            self.prober = 0

    def open(self, now: Moment) -> bool:
        """Forget what stands against a start beside the limits: what a provider has said, and that it is down.

        Args:
            now (Moment): The store's time.

        Returns:
            bool: Whether anything did.
        """
        stood = self.down or max(self.not_before, self.requests_left.until, self.tokens_left.until) > now
        self.down, self.prober, self.not_before = False, 0, min(self.not_before, now)
        self.requests_left, self.tokens_left = Left(), Left()
        return stood

    def spans(self, now: Moment) -> None:
        """Begin to count anew if a day or a month has begun.

        Args:
            now (Moment): The store's time.
        """
        day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        self.day = self.day if self.day.span == day else Spent(day)
        self.month = self.month if self.month.span == day[:7] else Spent(day[:7])


_slot = attrgetter("slot")
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Book).decode


def slot_of(moment: Moment) -> int:
    """Tell the half second of a moment.

    Args:
        moment (Moment): The store's time.

    Returns:
        int: Its number.
    """
    return int(moment / SLOT_S)


def status(
    name: str, book: Book, now: Moment, living: Collection[int], *, closed_until: Moment | None = None, closed_why: str | None = None
) -> LaneStatus:
    """Describe a lane.

    Args:
        name (str): Which.
        book (Book): Its book; changed by this.
        now (Moment): The store's time.
        living (Collection[int]): The workers alive.
        closed_until (Moment | None): Until when it is closed for other reasons, if it is or was.
        closed_why (str | None): As given to `close_lane`.

    Returns:
        LaneStatus: As shown.
    """
    book.tidy(now, living)
    book.spans(now)
    next_at = max(book.not_before, book.requests_at, book.tokens_at)
    return LaneStatus(
        name=name,
        limits=book.limits,
        requests=sum(entry.requests for entry in book.entries),
        tokens=sum(entry.tokens for entry in book.entries),
        usd_today=book.day.usd,
        usd_this_month=book.month.usd,
        at_once=0 if book.limits.at_once is None else sum(book.permits.values()),
        waiting=sum(one.waiting for one in book.askers.values()),
        workers=len(book.askers),
        next_at=next_at if next_at > now else None,
        down=book.down,
        closed_until=closed_until if closed_until is not None and closed_until > now else None,
        closed_why=closed_why if closed_until is not None and closed_until > now else None,
    )
