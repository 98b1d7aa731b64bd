"""The books of lanes, in memory."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import msgspec

from perdure.clock import Moment
from perdure.messages.message import State, WorkerId
from perdure.messages.routes import MOST_WOKEN, OPENED, WOKEN_AFTER_S, waits_for_its_lane
from perdure.providers.book import Book, decode, encode, status
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Heard, LaneStatus, LaneStore, Need, Standing, Turn
from perdure.providers.probes import next_standing
from perdure.providers.turns import Visit, take_turn
from perdure.security.audit import Actor
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.workers import living

__all__ = ["InMemoryLanes", "open_lane"]


def open_lane(contents: Contents, lane: str, now: Moment, by: Actor | None) -> bool:
    """Open a lane by hand.

    Args:
        contents (Contents): What the store keeps.
        lane (str): Which.
        now (Moment): The store's time.
        by (Actor | None): Who does it.

    Returns:
        bool: False if it was open.
    """
    kept = contents.books.get(lane)
    book = None if kept is None else decode(kept)
    stood = book is not None and book.open(now)
    if book is not None:
        contents.books[lane] = encode(book)
    closed = contents.lanes.get(lane, (now, ""))[0] > now
    if not closed and not stood:
        return False
    if closed:
        contents.lanes[lane] = (now, OPENED)
    for row in [row for row in contents.rows.values() if row.state is State.LATER and row.message.lane == lane][:MOST_WOKEN]:
        if row.wait is not None and waits_for_its_lane(row.wait):
            row.wait = msgspec.structs.replace(row.wait, until=min(row.wait.until or now, now + WOKEN_AFTER_S))
    contents.note_deed(by, "lane.open", lane)
    return True


class InMemoryLanes(LaneStore):
    """Keeps the books of lanes.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

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
        """Take one turn at a lane's book."""
        visit = Visit(
            limits=limits,
            worker=worker,
            needs=needs,
            corrections=corrections,
            holds=holds,
            waiting=waiting,
            headroom=headroom,
            slow_for_s=slow_for_s,
        )
        with self._contents.open() as now:
            living(self._contents, WorkerId(worker))
            book = self._book(lane)
            turn = take_turn(book, visit, now, self._living())
            self._contents.books[lane] = encode(book)
            return turn

    async def health(self, lane: str, heard: Heard, *, worker: int, rest_s: float, longest_rest_s: float) -> Standing:
        """Tell or ask how a lane stands."""
        with self._contents.open() as now:
            living(self._contents, WorkerId(worker))
            book = self._book(lane)
            book.tidy(now, self._living())
            standing = next_standing(book, heard, worker, now, rest_s=rest_s, longest_rest_s=longest_rest_s)
            self._contents.books[lane] = encode(book)
            return standing

    async def lanes(self) -> builtins.list[LaneStatus]:
        """List the lanes that have a book."""
        with self._contents.open() as now:
            alive, closed = self._living(), self._contents.lanes
            shut = {name for name, (until, _) in closed.items() if until > now}
            return [
                status(
                    name,
                    self._book(name),
                    now,
                    alive,
                    closed_until=closed[name][0] if name in closed else None,
                    closed_why=closed[name][1] if name in closed else None,
                )
                for name in sorted(shut | set(self._contents.books))
            ]

    def _book(self, lane: str) -> Book:
        kept = self._contents.books.get(lane)
        return Book() if kept is None else decode(kept)

    def _living(self) -> set[int]:
        return {worker for worker, row in self._contents.workers.items() if row.ended_at is None}
