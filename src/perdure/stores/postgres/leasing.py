"""Leasing: first a look at what is next, then that much is taken.

Theory of operation. The look locks nothing: it reads the heads of all routes and priorities that the worker
can serve, and the rules choose among them (`choosing.py`). Then one statement takes from the head of each
route and priority as many as were chosen there, stepping over rows that others are just taking. So two who
lease at once look at the same heads, and still take different messages and as many as they want; what
each gets is the most urgent that nobody else has.

Every sixteenth message taken is to be the one put earliest. Who looks can only guess which numbers its messages
will get, since others lease meanwhile; it learns them with the messages. So a process keeps account: a turn whose number
it got and did not serve it owes, and serves at its next look; one that it served although the number went to
another is taken off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from secrets import randbits
from typing import Any

from perdure.clock import awake
from perdure.errors.base import PerdureError, StoreClosed, StoreError, WorkerFenced
from perdure.errors.handler import handle
from perdure.events import heard
from perdure.messages.message import Lease, WorkerId
from perdure.messages.routes import Route
from perdure.stores.postgres.choosing import EVERY, Chosen, Head, choose
from perdure.stores.postgres.floors import Floors
from perdure.stores.postgres.hot import Ground, ask, hot
from perdure.stores.postgres.interned import Interned
from perdure.stores.postgres.marked import write_unmarked
from perdure.stores.sql.fence import Held
from perdure.stores.sql.finish import release_held
from perdure.stores.sql.lease import LEASED, facts_of
from perdure.stores.sql.places import place_of
from perdure.stores.sql.rows import message_from
from perdure.stores.sql.statements import statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["Leasing"]

_LOOK, _TAKE, _SWEEP, _STRAYS = hot("look"), hot("take"), hot("sweep"), hot("strays")
_PAGES_AT_HEADS = hot("pages_at_heads")
_TAKE_BACK = statement("lease_take_back")
_TRIES, _LIES_AT = 3, 26  # where a row says with which priority it lay ready
_MOST_OWED = 16
_FEW = 16
"""So many routes are looked at without asking first which of them are empty."""
_STRAY_S = (0.0, 1.0, 5.0, 20.0)
"""When to look for leases whose answer was lost: the server may still be about to give them."""


class Leasing:
    """Leases for the workers of a process.

    Args:
        ground (Ground): The engine.
        names (Interned): Routes and tenants.
    """

    def __init__(self, ground: Ground, names: Interned) -> None:
        self._ground, self._names = ground, names
        self.floors: Floors = Floors()
        """Where looks begin to read."""
        self._take_text = _TAKE if ground.address.flags.skip_locked else _TAKE.replace(" SKIP LOCKED", "")
        self._owed = 0
        """Turns of those put earliest whose numbers came to this process and that it has not served."""
        self._asides: set[asyncio.Task[None]] = set()

    async def lease(self, routes: Sequence[Route], limit: int, worker: WorkerId) -> list[Lease]:
        """Take the most urgent ready messages of some routes.

        Args:
            routes (Sequence[Route]): What the worker can serve.
            limit (int): At most so many.
            worker (WorkerId): Who takes them.

        Returns:
            list[Lease]: What it has now.

        Raises:
            WorkerFenced: The worker is not alive.
        """
        numbers = [route.id for route in routes]
        self._mind_floors()
        for _ in range(_TRIES):
            chosen = await self._look(numbers, limit, worker)
            if not chosen.order:
                return []
            leases = await self._take(chosen, worker)
            if leases:
                return leases
        return []  # others are quicker, time and again: what there is, they have

    async def idle(self) -> None:
        """Wait until nothing is done aside any more."""
        while self._asides:
            await asyncio.wait(self._asides)

    async def close(self) -> None:
        """Leave nothing behind that runs."""
        for aside in list(self._asides):
            aside.cancel()
        await asyncio.gather(*self._asides, return_exceptions=True)

    async def _look(self, routes: list[int], limit: int, worker: WorkerId) -> Chosen:
        now, began = self._ground.clock.now(), awake()
        few = self.floors.needed or len(routes) <= _FEW
        given = (routes, now, limit, self.floors.of(routes), self.floors.oldest_of(routes), worker, few, self._owed)
        rows = await ask(self._ground, _LOOK, *given)
        taken, alive = rows[0][:2]
        if not alive:
            raise WorkerFenced(f"worker {worker} is not alive", hint="It must stop; whatever it still writes is refused.")
        found = [row for row in rows if row[2] is not None]
        urgent = sorted(Head(*row[2:6]) for row in found if not row[6])
        earliest = [Head(*row[2:6]) for row in found if row[6]]
        turns = max((taken + limit) // EVERY - taken // EVERY + self._owed, 0)
        self.floors.looked(urgent, earliest, turns=turns, took_s=awake() - began, now=now)
        return choose(urgent, earliest, taken=taken, limit=limit, owed=self._owed)

    async def _take(self, chosen: Chosen, worker: WorkerId) -> list[Lease]:
        now, base = self._ground.clock.now(), randbits(43) << 20
        lanes = chosen.lanes()
        early = [[head.route, head.priority, head.tag, head.id] for head in chosen.early]
        heads = [[route, priority, first, n] for (route, priority), (first, n) in lanes.items()]
        try:
            rows = await write_unmarked(self._ground, self._take_text, worker, now, base, *_columns(early), *_columns(heads))
        except (StoreError, asyncio.CancelledError):
            self._aside(self._give_back(worker, base, base + len(chosen.order)))
            raise
        if not rows:
            return []
        await self._names.learn((row[9] for row in rows), (row[10] for row in rows))
        at = {head.id: place for place, head in enumerate(chosen.order)}
        rows.sort(key=lambda row: (at.get(row[8], len(at)), row[_LIES_AT], row[7]))
        leases = [self._lease(row, worker, now) for row in rows]
        out_of_turn = {head.id for head in chosen.early}
        owed = self._owed + sum(row[1] % EVERY == 0 for row in rows) - sum(row[8] in out_of_turn for row in rows)
        self._owed = max(-_MOST_OWED, min(owed, _MOST_OWED))
        for row in rows:
            if row[8] not in out_of_turn:
                self._ground.book.leased(row[_LIES_AT], row[7])
        self._ground.committed(max(row[0] for row in rows), [(LEASED, facts_of(lease)) for lease in leases] if heard(LEASED) else ())
        return leases

    def _lease(self, row: Any, worker: WorkerId, now: float) -> Lease:
        _, _, token, attempt, crashes, waiting_since, begun, _, number, route, tenant = row[:11]
        return Lease(
            message=message_from(number, self._names.route_of[route][1:5], self._names.tenant_of[tenant], row[11:_LIES_AT]),
            token=token,
            worker=worker,
            attempt=attempt,
            crashes=crashes,
            leased_at=now,
            waiting_since=waiting_since,
            begun=begun,
        )

    def _mind_floors(self) -> None:
        now = self._ground.clock.now()
        if lanes := self.floors.to_sweep(now):
            self._aside(self._sweep_below(lanes))
        elif heads := self.floors.to_count(now):
            self._aside(self._count_pages(heads))

    async def _sweep_below(self, lanes: list[tuple[int, int, int]]) -> None:
        began = awake()
        await self._count_pages([lane[:2] for lane in lanes])
        if not self.floors.needed:
            return
        rows = await ask(self._ground, _SWEEP, *_columns(lanes, 3))
        found = [(route, priority, first) for route, priority, first in rows if first is not None]
        self.floors.swept(found, awake() - began, self._ground.clock.now())

    async def _count_pages(self, heads: list[tuple[int, int]]) -> None:
        [[said]] = await ask(self._ground, _PAGES_AT_HEADS, *_columns(heads, 2))
        plan = json.loads(said)[0]["Plan"]
        self.floors.counted(len(heads), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], self._ground.clock.now())

    async def _give_back(self, worker: WorkerId, after: int, last: int) -> None:
        for pause_s in _STRAY_S:
            await asyncio.sleep(pause_s)
            with suppress(StoreError):
                rows = await ask(self._ground, _STRAYS, worker, after, last)
                if rows:
                    await self._ground.write(_give_back, [(row[0], row[1]) for row in rows])
                    return

    def _aside(self, work: Any) -> None:
        """Have something done that nobody waits for."""
        task = asyncio.create_task(_quietly(work))
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


async def _quietly(work: Any) -> None:
    try:
        await work
    except StoreClosed:
        return
    except PerdureError as error:
        handle(error, where="store.leasing", what="leasing")


def _columns(rows: Sequence[Sequence[int]], width: int = 4) -> list[list[int]]:
    return [[row[at] for row in rows] for at in range(width)]


def _give_back(tx: Transaction, leases: Sequence[tuple[int, int]]) -> None:
    for message, token in leases:
        row, place = tx.run(_TAKE_BACK, (message, token)).fetchone(), place_of(tx, message)
        if row is not None and place is not None:
            release_held(tx, place, Held(*row))
