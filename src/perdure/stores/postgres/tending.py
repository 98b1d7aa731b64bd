"""What time demands, on PostgreSQL: phase by phase and bite by bite, each in a transaction of its own.

Theory of operation. Others put, lease and finish while somebody tends, so no transaction of his may be long: it would
hold rows they need, hold back the change sequence, and in a conflict all of it would be made again. So each phase moves
a bite at a time. Plain messages of a bite are moved together (`overdue.py`); the others go through the functions that
both engines share, few in a transaction, and where those fail, each in one of its own: a row that cannot be moved
is logged and keeps nobody from being moved behind it.

What was due and has been moved leaves dead entries at the head of its index while somebody keeps a transaction open.
When looks become slow, by the server's own clock, they begin where all was done a moment ago, and only every few
seconds at the beginning, for whatever was committed late.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from perdure.clock import Moment
from perdure.errors.base import StoreBusy, StoreError
from perdure.errors.handler import handle
from perdure.messages.message import State
from perdure.messages.store import Tended
from perdure.stores.postgres.dialect import own
from perdure.stores.postgres.overdue import Bite, Blocked, come_due, look_through, run_out
from perdure.stores.sql import chores, limits, tend
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.obstacles import Obstacles, RouteBook
from perdure.stores.sql.places import known_place, state_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.tend import Due, Entry
from perdure.stores.sql.transaction import Transaction, sees_latest

__all__ = ["Tending"]

_LOOK, _NEXT, _STILL, _SWEEPS = statement("tend_look"), own("due_next"), own("due_still"), statement("sweep_due")
_FAIR, _DROP = statement("fair_bite"), own("fair_drop_many")
_MOST, _BITES, _FEW = 1000, 5, 20
_FAIR_AT_ONCE, _FAIR_BITES = 1000, 50
_SLOW_S, _OFTEN = 0.005, 8
"""A look that takes longer steps over what is dead; so many in a row, or else the machine was busy."""
_LAG_S, _FROM_THE_START_S, _SHARE = 2.0, 10.0, 50
"""Looks begin so long ago; at the beginning every so many seconds, and for no more than this share of the time."""
T = TypeVar("T")
_log = logging.getLogger("perdure.stores")


class _Seen(NamedTuple):
    needed: bool
    changed: list[int]
    next_due_at: Moment | None
    took_s: float


class _Beginning:
    """From which moment on entries are read."""

    def __init__(self) -> None:
        self.needed: bool = False
        self._slow = 0
        self._done_until: Moment = 0.0
        self._next_at: Moment = 0.0

    def at(self, now: Moment) -> Moment:
        """Say where to begin."""
        return self._done_until if self.needed and now < self._next_at else 0.0

    def looked(self, began_at: Moment, took_s: float, now: Moment) -> None:
        """Learn from a look."""
        slow = took_s > _SLOW_S
        if began_at == 0.0:
            self._next_at = now + max(_FROM_THE_START_S, _SHARE * took_s)
            self._slow = self._slow + 1 if slow else 0
            self.needed = slow and (self.needed or self._slow >= _OFTEN)

    def all_done(self, now: Moment) -> None:
        """Note that nothing that was due is left."""
        self._done_until = now - _LAG_S


class Tending:
    """Tends the messages of a store.

    Args:
        engine (Engine): Of the store.
        routes (RouteBook): All routes.
    """

    def __init__(self, engine: Engine, routes: RouteBook) -> None:
        self._engine, self._routes = engine, routes
        self.beginning: _Beginning = _Beginning()
        """Where looks begin to read."""
        self._failed = False
        self._passed_by: set[object] = set()
        """What cannot be done, and that was said once."""
        self._reached: dict[str, Entry] = {}
        """Where a kind goes on of which there was too much for one round."""

    async def tend(self) -> Tended:
        """Do what time demands.

        Returns:
            Tended: What was done.
        """
        now = self._engine.clock.now()
        begin = self.beginning.at(now)
        seen = await self._engine.read(_look, self._routes, now, begin)
        self.beginning.looked(begin, seen.took_s, now)
        if not seen.needed:
            self.beginning.all_done(now)
            return Tended(next_due_at=seen.next_due_at)
        self._failed = False
        if not await self._phase(self._engine.write(tend.note, seen.changed), otherwise=True):
            return Tended(next_due_at=seen.next_due_at)
        await self._phase(self._keep_house(), otherwise=None)
        expired = await self._phase(self._run_out("deadline", begin, tend.expire), otherwise=0)
        gave_up = 0
        for kind in ("patience", "held"):
            gave_up += await self._phase(self._run_out(kind, begin, tend.give_up, kind), otherwise=0)
        gave_up += await self._phase(self._look_through(_MOST - gave_up), otherwise=0)
        due = await self._phase(self._come_due(begin), otherwise=0)
        await self._phase(self._go_on(), otherwise=None)
        if not self._reached and not self._failed:
            self.beginning.all_done(now)
        next_due_at = now if self._reached else await self._engine.read(_next, now)
        return Tended(expired=expired, gave_up=gave_up, due=due, next_due_at=next_due_at)

    async def _phase(self, work: Awaitable[T], *, otherwise: T) -> T:
        """Do one part; where it fails, the others are done all the same, unless the database is out of reach."""
        try:
            return await work
        except StoreBusy as error:
            handle(error, where="store.tending", what="a part of tending is left for the next round")
        except StoreError:
            raise
        except Exception as error:
            self._tell_once(error, repr(error), "a part of tending fails")
        self._failed = True
        return otherwise

    def _tell_once(self, error: Exception, what: object, why: str) -> None:
        """Rounds come four times a second: what is wrong in each is said in the first."""
        if what not in self._passed_by:
            handle(error, where="store.tending", what=f"{why}: {what}", broke=True)
        if len(self._passed_by) >= _MOST:
            self._passed_by.clear()
        self._passed_by.add(what)

    async def _go_on(self) -> None:
        if await self._engine.read(limits.unfinished):
            await self._engine.write(limits.go_on)

    async def _keep_house(self) -> None:
        await self._engine.write(_fold)
        for chore in await self._engine.write(chores.claim):
            await (self._forget_old_tags() if chore == "fair" else self._engine.write(chores.count_again))

    async def _forget_old_tags(self) -> None:
        behind: tuple[int, ...] | None = (-1, -1, -1, -1)
        for _ in range(_FAIR_BITES):
            behind = await self._engine.write(_forget_tags, behind)
            if behind is None:
                return

    async def _run_out(self, kind: str, begin: Moment, rest: Callable[..., int], *given: object) -> int:
        async def bite(behind: Entry) -> tuple[int, Entry | None]:
            bitten: Bite = await self._engine.write(run_out, kind, behind)
            return bitten.done + await self._each(lambda tx, few: rest(tx, *given, few), bitten.entries), bitten.reached

        return await self._bites(kind, begin, bite)

    async def _come_due(self, begin: Moment) -> int:
        async def bite(behind: Entry) -> tuple[int, Entry | None]:
            bitten: Bite = await self._engine.write(come_due, behind)
            return bitten.done + await self._each(_make_ready, bitten.due), bitten.reached

        return await self._bites("due", begin, bite)

    async def _bites(self, kind: str, begin: Moment, bite: Callable[[Entry], Awaitable[tuple[int, Entry | None]]]) -> int:
        behind, done = self._reached.pop(kind, (begin, -1)), 0
        for _ in range(_BITES):
            moved, reached = await bite(behind)
            done += moved
            if reached is None:
                return done
            behind = reached
        self._reached[kind] = behind
        return done

    async def _look_through(self, room: int) -> int:
        gave_up = 0
        for _ in range(_BITES):
            routes = await self._engine.read(_to_look_through, self._engine.clock.now())
            for route, reason in routes:
                done, entries = await self._engine.write(look_through, route, reason, room - gave_up)
                gave_up += done + await self._each(_giving_up(reason), entries)
                if gave_up >= room:
                    return gave_up
            if not routes:
                break
        return gave_up

    async def _each(self, fn: Callable[[Transaction, Sequence[T]], int], items: Sequence[T]) -> int:
        """Have some moved by the shared functions, few in a transaction; one that cannot be keeps nobody from it."""
        done = 0
        for at in range(0, len(items), _FEW):
            few = items[at : at + _FEW]
            try:
                done += await self._engine.write(fn, few)
            except Exception as error:
                _log.info("%d messages are moved one by one: %s", len(few), error)
                done += sum([await self._alone(fn, one) for one in few])
        return done

    async def _alone(self, fn: Callable[[Transaction, Sequence[T]], int], item: T) -> int:
        try:
            return await self._engine.write(fn, [item])
        except StoreBusy:  # others want it as well; it is found again
            self._failed = True
            return 0
        except StoreError:
            raise
        except Exception as error:
            self._tell_once(error, item, "this cannot be moved, and is passed by")
            return 0


def _look(run: Run, book: RouteBook, now: Moment, begin: Moment) -> _Seen:
    due, took_s = run(_LOOK, (now, begin)).fetchone()
    changed = tend.changed_routes(run, book, now)
    return _Seen(bool(due or changed), changed, run(_NEXT, (now,)).get, took_s)


def _next(run: Run, now: Moment) -> Moment | None:
    found: Moment | None = run(_NEXT, (now,)).get
    return found


def _to_look_through(run: Run, now: Moment) -> list[tuple[Blocked, str | None]]:
    """Blocked routes whose time has come, and why they are blocked."""
    obstacles = Obstacles(run, now)
    return [(Blocked(*row), obstacles.of_id(row[0])) for row in run(_SWEEPS, (now,)).fetchall()]


def _fold(tx: Transaction) -> None:
    if tx.alone():
        tx.fold()


@sees_latest
def _forget_tags(tx: Transaction, behind: tuple[int, ...]) -> tuple[int, ...] | None:
    """A bite in the order of the key; says where to go on."""
    rows = tx.run(_FAIR, (*behind, _FAIR_AT_ONCE)).fetchall()
    old = [line for *line, is_old in rows if is_old]
    if old:
        tx.run(_DROP, tuple(map(list, zip(*old, strict=True))))
    return None if len(rows) < _FAIR_AT_ONCE else tuple(rows[-1][:4])


def _make_ready(tx: Transaction, due: Sequence[Due]) -> int:
    still = [one for one in due if tx.run(_STILL, (one[1], tx.now)).fetchone() is not None]
    for _, message, _ in still:
        known_place(tx, message)
    return tend.make_ready(tx, still)


def _giving_up(reason: str | None) -> Callable[[Transaction, Sequence[Entry]], int]:
    def give_up(tx: Transaction, entries: Sequence[Entry]) -> int:
        ready = [one for one in entries if state_of(tx.run, one[1]) is State.READY]
        return sum(tend.give_up_one(tx, message, since, reason) for since, message in ready)

    return give_up
