"""What this process has of one limited lane: it comes for permits, holds a small slice, and settles in batches.

Theory of operation. Calls that ask at the same time are taken to the store together, and whatever has been learned
since the last time goes with them. Where calls come many a second, more is taken than was asked for: a *slice* for those
about to come, no more than a second's worth and a twentieth of the lane; they need no way to the store. What of it is not used
within a second is given back. Below ten calls a second there are single permits only.

A permit may start later than now; who has it waits for that moment here. So everybody on all machines stands in
one line, each knows how long it is, and nobody has to ask twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from perdure.clock import Moment
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import Correction, Grant, LaneStore, Need, NotYet, Reason, Turn
from perdure.resources.batcher import Batcher
from perdure.worker.demand import Demand
from perdure.worker.permits import Permit
from perdure.worker.room import Room
from perdure.worker.slices import SLICE_S, Slice, slice_wanted

__all__ = ["Portion", "Shared"]

SETTLE_S = 0.25
"""Corrections wait for company no longer than this."""
_log = logging.getLogger("perdure.worker")


class Shared(NamedTuple):
    """With whom lanes are shared."""

    store: LaneStore
    worker: int
    """Who we are."""


class _Asked:
    """One need on its way."""

    __slots__ = ("gone", "need", "permit")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.permit: Permit | None = None
        self.gone = False


class Portion:
    """One lane, as this process shares it with all others. For one event loop.

    Args:
        lane (str): `provider/model`.
        limits (LaneLimits): Its limits.
        shared (Shared): With whom, and who we are.
        now (Callable[[], Moment]): A clock, for spans.
        moved (Callable[[], None]): Called when there may be room again.
    """

    def __init__(self, lane: str, limits: LaneLimits, shared: Shared, now: Callable[[], Moment], moved: Callable[[], None]) -> None:
        self.limits: LaneLimits = limits
        self._lane, self._shared, self._now, self._moved = lane, shared, now, moved
        self._batch: Batcher[_Asked | None, Permit | NotYet | None] = Batcher(self._flush, most_items=100)
        self._corrections: dict[int, Correction] = {}
        self._untold = False
        self._headroom: Headroom | None = None
        self._slow_for_s: float | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._settling = False
        self._holds = 0
        self._slice: Slice | None = None
        self.demand: Demand = Demand(now)
        self.room: Room = Room(limits, self.demand, now)
        self._waiting = 0
        self._freed = asyncio.Event()
        self._pressed = False

    # Calls --------------------------------------------------------------------------------------------

    async def take(self, need: Need) -> Permit | NotYet:
        """Get a permit.

        Args:
            need (Need): For what.

        Returns:
            Permit | NotYet: To be used from its moment on, and to be told of; or how long there will be none.

        Raises:
            StoreError: The book could not be had.
            WorkerFenced: This worker was declared dead.
        """
        self.room.came()
        self.demand.came(need)
        permit = self._from_slice(need)
        if permit is not None:
            return permit
        until = self._now() + need.patience_s
        self.room.coming += 1
        try:
            answer = await self._ask(need)
            while isinstance(answer, NotYet) and answer.why is Reason.AT_ONCE and self._now() < until:
                await self._until_freed(min(answer.wait_s, until - self._now()))
                answer = await self._ask(need)
        finally:
            self.room.coming -= 1
            self._moved()
        return answer

    def note(self, correction: Correction, *, over: int = 0) -> None:
        """Take a correction along the next time, which is soon.

        Args:
            correction (Correction): What became of a permit.
            over (int): So many calls are under way no longer.
        """
        self._holds -= over
        freed = 0 if self.limits.at_once is None else over
        if correction.requests or correction.tokens or correction.usd or correction.reserved or correction.used:
            self._corrections[correction.slot] = _sum(correction, self._corrections.get(correction.slot))
        elif not freed:
            return
        self.room.freed(freed)
        self._untold = True
        self._moved()
        if freed and self._waiting:
            self._freed.set()  # they take it along
        else:
            self._settle_in(0.0 if freed and self._pressed else SETTLE_S)

    def believe(self, headroom: Headroom) -> None:
        """Take along, the next time, what the provider said is left: nothing is granted here before.

        Args:
            headroom (Headroom): As its answer has it.
        """
        self._headroom = headroom

    async def slow(self, for_s: float) -> None:
        """Let everybody know that the provider refused a call.

        Args:
            for_s (float): For how long nothing may start.
        """
        self._slow_for_s = max(for_s, self._slow_for_s or 0.0)
        await self._batch.add(None)

    async def close(self) -> None:
        """Settle what is left. Permits that are still out are settled by whoever has them, if he can."""
        for timer in self._timers:
            timer.cancel()
        self._give_back_slice()
        self._settle()
        await self._batch.close()

    async def look(self) -> None:
        """Before a message is leased for a lane that has less to give than there are workers: see whether another was quicker.

        Raises:
            StoreError: The book could not be had.
            WorkerFenced: This worker was declared dead.
        """
        if self.room.needs_a_look:
            await self._batch.add(None)

    # The way to the store -----------------------------------------------------------------------------

    async def _ask(self, need: Need) -> Permit | NotYet:
        asked = _Asked(need)
        try:
            answer = await self._batch.add(asked)
        except BaseException:  # cancelled while its answer was on the way: nobody else would give it back
            asked.gone = True
            if asked.permit is not None:
                asked.permit.left()
            raise
        assert answer is not None
        return answer

    async def _flush(self, asked: Sequence[_Asked | None]) -> list[Permit | NotYet | BaseException | None]:
        """Take what is asked for and what is to be corrected to the store; None among the asked asks for nothing."""
        needs = [one.need for one in asked if one is not None]
        extra = slice_wanted(self.limits, self.demand) if needs else None
        if extra is not None:
            self._give_back_slice()
        turn = await self._turn(needs if extra is None else [*needs, extra])
        self.room.saw(turn)
        self.demand.used_share, self._pressed = turn.used_share, turn.pressed
        if extra is not None and isinstance(grant := turn.answers[-1], Grant):
            self._begin_slice(extra, grant)
        answers = iter(turn.answers)
        return [None if one is None else self._answered(one, next(answers)) for one in asked]

    async def _turn(self, needs: Sequence[Need]) -> Turn:
        corrections, self._corrections = self._corrections, {}
        headroom, self._headroom = self._headroom, None
        slow_for_s, self._slow_for_s = self._slow_for_s, None
        self._untold = False
        try:
            return await self._shared.store.turn(
                self._lane,
                self.limits,
                worker=self._shared.worker,
                needs=needs,
                corrections=list(corrections.values()),
                holds=self._holds,
                waiting=self._waiting,
                headroom=headroom,
                slow_for_s=slow_for_s,
            )
        except BaseException:  # what was to be corrected may have been: never twice, or more would be lent than there is
            self._untold, self._slow_for_s = True, slow_for_s
            raise

    def _answered(self, asked: _Asked, answer: Grant | NotYet) -> Permit | NotYet:
        if isinstance(answer, NotYet):
            return answer
        self._holds += asked.need.requests
        asked.permit = Permit(self, answer.slot, asked.need, self._now() + answer.wait_s, self._now)
        if asked.gone:
            asked.permit.left()
        return asked.permit

    async def _until_freed(self, wait_s: float) -> None:
        self._waiting += 1
        self._freed.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._freed.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1

    # Corrections --------------------------------------------------------------------------------------

    def _settle_in(self, delay_s: float) -> None:
        if not self._settling:
            self._settling = True
            self._after(delay_s, self._settle)

    def _settle(self) -> None:
        self._settling = False
        if self._untold:
            self._batch.add(None).add_done_callback(_not_settled)

    def _after(self, delay_s: float, then: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            then()

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)

    # Slices -------------------------------------------------------------------------------------------

    def _begin_slice(self, need: Need, grant: Grant) -> None:
        self._slice = Slice(need, grant.slot, self._now() + grant.wait_s)
        self._holds += need.requests
        self._after(grant.wait_s + SLICE_S, self._give_back_old_slice)

    def _from_slice(self, need: Need) -> Permit | None:
        held = self._slice
        if held is None or not held.take(need, self._now()):
            return None
        return Permit(self, held.slot, need, held.starts_at, self._now)

    def _give_back_old_slice(self) -> None:
        if self._slice is not None and self._now() >= self._slice.ends_at():
            self._give_back_slice()

    def _give_back_slice(self) -> None:
        held, self._slice = self._slice, None
        if held is not None:
            correction, calls = held.rest()
            self.note(correction, over=calls)


def _sum(one: Correction, other: Correction | None) -> Correction:
    if other is None:
        return one
    return Correction(
        slot=one.slot,
        requests=one.requests + other.requests,
        tokens=one.tokens + other.tokens,
        usd=one.usd + other.usd,
        reserved=one.reserved + other.reserved,
        used=one.used + other.used,
    )


def _not_settled(done: asyncio.Future[Permit | NotYet | None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.debug("what calls have left over could not be told, and stays reserved until its minute is over: %s", error)
