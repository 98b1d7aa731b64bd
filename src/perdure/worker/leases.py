"""Taking messages: as many as there is room for, of the routes that can be served now, again and again.

Between two rounds the loop sleeps until something changes in the store, or room is made that was missing;
the doorbell of the store wakes it, and a look every second is the net below the doorbell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from perdure.clock import Clock, awake, chance
from perdure.errors.base import StoreError, WorkerFenced
from perdure.errors.handler import handle
from perdure.messages.message import Lease, WorkerId
from perdure.messages.routes import Route, servable
from perdure.messages.store import MessageStore
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.lanes import Lanes
from perdure.worker.slots import Slots

__all__ = ["Leases"]

LOOK_S = 1.0
"""The longest sleep between two looks."""
MOST = 500
"""Messages taken at once, however much room there is."""
FRESH_S = 0.05
"""How long a look at the routes serves while there is always more to take."""
_FIRST_S, _LONGEST_S = 0.1, 5.0
_SOONEST_S = 0.02


class Leases:
    """Takes messages for one worker and hands each to `begin`.

    Args:
        messages (MessageStore): Where they are.
        worker (WorkerId): Who takes them.
        slots (Slots): How much room there is.
        lanes (Lanes): Told of what the routes say.
        last_call (LastCall): Ends it.
        begin (Callable[[Lease], None]): Starts the work on one; must not block.
        clock (Clock): The store's time.
        queues (Collection[str] | None): The queues to serve; None for all.
        quarantine (bool): Serve quarantine routes only, and end when nothing is left.
    """

    def __init__(
        self,
        messages: MessageStore,
        worker: WorkerId,
        *,
        slots: Slots,
        lanes: Lanes,
        last_call: LastCall,
        begin: Callable[[Lease], None],
        clock: Clock,
        queues: Collection[str] | None = None,
        quarantine: bool = False,
    ) -> None:
        self._messages = messages
        self._worker = worker
        self._slots = slots
        self._lanes = lanes
        self._last_call = last_call
        self._begin = begin
        self._clock = clock
        self._queues = queues
        self._quarantine = quarantine
        self._flowing = False
        self._open: list[Route] = []
        self._agents: dict[str, str] | None = None
        self._looked_at = 0.0
        self._full: list[str] = []
        """Lanes whose messages were left where they are, since they could not start soon."""

    async def run(self) -> None:
        """Take messages until the last call."""
        pause_s = _FIRST_S
        while not self._last_call.called:
            try:
                await self._round()
            except WorkerFenced:
                self._last_call.call(WorkerEnd.FENCED)
            except StoreError as error:
                handle(error, where="worker.leasing", what=f"no message could be taken, again in {pause_s:.1f} s")
                await self._either(asyncio.sleep(pause_s * (0.5 + chance())))
                pause_s = min(pause_s * 2, _LONGEST_S)
            else:
                pause_s = _FIRST_S

    async def _round(self) -> None:
        limit, agents = self._slots.room()
        if limit == 0:
            await self._either(self._slots.freed.wait())
            return
        known = self._messages.heard()  # before looking, so that nothing put meanwhile is slept over
        self._lanes.moved.clear()
        self._flowing = await self._take(min(limit, MOST), agents)
        if not self._flowing:
            await self._rest(known, agents)

    async def _take(self, limit: int, agents: dict[str, str]) -> bool:
        """Take messages; tell whether there may be more to be taken at once."""
        open_now = await self._routes_for(agents)
        rooms = await self._lanes.rooms.now(open_now)
        self._full = [lane for lane, room in rooms.items() if room <= 0]
        if not rooms:
            return await self._lease(open_now, limit) == limit
        return await self._take_beside_limits(open_now, rooms, limit)

    async def _take_beside_limits(self, open_now: list[Route], rooms: dict[str, int], limit: int) -> bool:
        """No lease is larger than the smallest room, so none brings more of a lane than can start; what has no limit fills the rest."""
        roomy = [route for route in open_now if route.lane is None or rooms.get(route.lane, 1) > 0]
        most = min(limit, *(room for room in rooms.values() if room > 0), MOST)
        taken = await self._lease(roomy, most)
        if taken < most or taken == limit:
            return taken == limit
        free = [route for route in roomy if route.lane not in rooms]
        await self._lease(free, limit - taken)
        return True

    async def _lease(self, routes: list[Route], limit: int) -> int:
        leases = await self._messages.lease(routes, limit=limit, worker=self._worker) if routes else []
        for lease in leases:
            if lease.message.lane is not None:
                self._lanes.rooms.leased(lease.message.lane)
            self._begin(lease)
        return len(leases)

    async def _routes_for(self, agents: dict[str, str]) -> list[Route]:
        """While there is more than can be taken, a look at the routes serves for a moment: what is closed since, the lease knows."""
        if not self._flowing or agents is not self._agents or awake() - self._looked_at > FRESH_S:
            self._open, self._agents, self._looked_at = await self._open_now(agents), agents, awake()
        return self._open

    async def _open_now(self, agents: dict[str, str]) -> list[Route]:
        routes = await self._messages.routes()
        self._lanes.seen(routes)
        return servable(routes, agents=agents, queues=self._queues, quarantine=self._quarantine, now=self._clock.now())

    async def _rest(self, known: int, agents: dict[str, str]) -> None:
        look_s = LOOK_S
        wakes = [self._slots.freed.wait()]
        if self._full:
            look_s = min(LOOK_S, max(_SOONEST_S, self._lanes.rooms.opens_in_s(self._full) or 0.0))
            wakes.append(self._lanes.moved.wait())
        await self._either(self._messages.changed(known, timeout_s=look_s), *wakes)
        if self._quarantine and not self._slots.working and not any(route.occupied for route in await self._open_now(agents)):
            self._last_call.call(WorkerEnd.IDLE)

    async def _either(self, *awaitables: Any) -> None:
        """Wait for the first of several, or for the last call."""
        tasks = [asyncio.ensure_future(each) for each in (*awaitables, self._last_call.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()  # an error of `changed` is the round's
