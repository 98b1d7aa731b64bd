"""The books of lanes, in the store: a turn reads a book, lets the rules change it, and writes it."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

import msgspec

from perdure.clock import Moment
from perdure.errors.base import WorkerFenced
from perdure.messages.message import Wait
from perdure.messages.routes import MOST_WOKEN, OPENED, WOKEN_AFTER_S, waits_for_its_lane
from perdure.providers.book import Book, decode, encode, status
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Heard, LaneStatus, LaneStore, Need, Standing, Turn
from perdure.providers.probes import next_standing
from perdure.providers.turns import Visit, take_turn
from perdure.security.audit import Actor
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["SqlLanes", "open_lane"]

_GET, _ADD, _SET, _LIST = (statement(f"book_{verb}") for verb in ("get", "add", "set", "list"))
_SHUT, _OPEN, _PARKED, _SOONER = (statement(name) for name in ("lane_shut", "lane_open", "lane_parked", "later_sooner"))
_decode_wait = msgspec.json.Decoder(Wait).decode
_LIVING = statement("worker_beats")


class SqlLanes(LaneStore):
    """Keeps the books of lanes.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        return await self._engine.write(_turn, lane, visit)

    async def health(self, lane: str, heard: Heard, *, worker: int, rest_s: float, longest_rest_s: float) -> Standing:
        """Tell or ask how a lane stands."""
        return await self._engine.write(_health, lane, heard, worker, rest_s=rest_s, longest_rest_s=longest_rest_s)

    async def lanes(self) -> builtins.list[LaneStatus]:
        """List the lanes that have a book."""
        return await self._engine.read(_lanes, self._engine.clock.now())


@sees_latest
def open_lane(tx: Transaction, lane: str, by: Actor | None) -> bool:
    """Open a lane by hand.

    Args:
        tx (Transaction): What is being committed.
        lane (str): Which.
        by (Actor | None): Who does it.

    Returns:
        bool: False if it was open.
    """
    kept = tx.run(_GET, (lane,)).get
    book = None if kept is None else decode(kept)
    stood = book is not None and book.open(tx.now)
    if book is not None and stood:
        tx.run(_SET, (lane, encode(book)))
    if tx.run(_OPEN, (lane, tx.now, OPENED)).get is None and not stood:
        return False
    parked = tx.run(_PARKED, (lane, tx.now, MOST_WOKEN)).fetchall()
    for message, wait in parked:
        if waits_for_its_lane(_decode_wait(wait)):
            tx.run(_SOONER, (message, tx.now + WOKEN_AFTER_S))
    tx.audit(by, "lane.open", lane)
    return True


@sees_latest
def _turn(tx: Transaction, lane: str, visit: Visit) -> Turn:
    book, living = _open(tx, lane, visit.worker)
    turn = take_turn(book, visit, tx.now, living)
    tx.run(_SET, (lane, encode(book)))
    return turn


@sees_latest
def _health(tx: Transaction, lane: str, heard: Heard, worker: int, *, rest_s: float, longest_rest_s: float) -> Standing:
    book, living = _open(tx, lane, worker)
    book.tidy(tx.now, living)
    standing = next_standing(book, heard, worker, tx.now, rest_s=rest_s, longest_rest_s=longest_rest_s)
    tx.run(_SET, (lane, encode(book)))
    return standing


def _open(tx: Transaction, lane: str, worker: int) -> tuple[Book, set[int]]:
    """Have a book alone until the commit. Whoever is declared dead meanwhile is not waited for: the next turn drops what it got."""
    kept = tx.run(_GET, (lane,)).get
    if kept is None:
        tx.run(_ADD, (lane, encode(Book())))
        kept = tx.run(_GET, (lane,)).get
    living = _living(tx.run)
    if worker not in living:
        raise WorkerFenced(f"worker {worker} is not alive", hint="It must stop; whatever it still writes is refused.")
    return decode(kept), living


def _lanes(run: Run, now: Moment) -> list[LaneStatus]:
    living = _living(run)
    found = [
        status(name, decode(book), now, living, closed_until=closed_until, closed_why=why)
        for name, book, closed_until, why in run(_LIST).fetchall()
    ]
    for name, closed_until, why in run(_SHUT, (now,)).fetchall():
        found.append(status(name, Book(), now, living, closed_until=closed_until, closed_why=why))
    return sorted(found, key=lambda one: one.name)


def _living(run: Run) -> set[int]:
    return {worker for worker, _ in run(_LIVING).fetchall()}
