"""The lanes of one worker: what stands against a call.

A quota or an account that needs a person stands against every message of its lane. Closing the lane
in the store keeps those that have not begun from starting; runs under way ask before each call and wait
instead of collecting the same refusal. A rate limit asks for less a second: the lane goes slower here (`throttle.py`), and
is closed only once it shows that nothing is let in.

A lane whose calls fail one after the other is as good as closed, though nobody says so: each lane has a circuit
(`circuits.py`). When that opens, the lane is closed in the store for as long, so whoever meets it waits and uses no attempt.

A lane with limits of its own lends permits (`portions.py`). When the next is further off than a run waits in its slot, the
lane is closed until shortly before, and as long as it is open no more messages are leased for it than can start soon.

A model with several deployments has a lane of its own name, by which its messages are kept: that is closed once the lanes
of all its deployments are, until the first of them opens. While one is open its messages start, and go there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from perdure.agents.parts import Passage
from perdure.clock import Clock, Moment, awake, iso
from perdure.errors.base import CallTooDear, Category, CircuitOpen, ErrorFacts, LaneBudgetSpent, LaneFull, Scope, StoreError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.messages.retry import closes_lane, counts_in_circuit, slows_lane, unsaid_until
from perdure.messages.routes import OPENED, Route
from perdure.messages.store import MessageStore
from perdure.providers.asks import Ask
from perdure.providers.lane_limits import LaneTable
from perdure.providers.lanes import LaneStore, Need, NotYet, Reason
from perdure.providers.target import base_of
from perdure.worker.circuits import Circuit, Circuits, Refusal
from perdure.worker.permits import Permit
from perdure.worker.portions import Portion, Shared
from perdure.worker.room import LEAD_S
from perdure.worker.rooms import Rooms
from perdure.worker.throttle import Sent, Throttle
from perdure.worker.ways import Way

__all__ = ["Circuit", "Lanes"]

_TOLERANCE_S = 0.5
"""A lane is not closed anew for so little: many runs meet the same limit within a moment."""
_CIRCUIT_OPEN = "circuit-open"
_OWN = frozenset({LaneFull.code, LaneBudgetSpent.code, CircuitOpen.code})
"""What we have said ourselves: no provider has."""
_OURS = {Reason.RATE: LaneFull, Reason.AT_ONCE: LaneFull, Reason.BUDGET: LaneBudgetSpent}


class Lanes:
    """Knows and closes the lanes of one worker; keeps the contract in `agents/parts.py`.

    Args:
        messages (MessageStore): Where a closed lane is seen by everybody.
        clock (Clock): The store's time.
        circuit (Circuit | None): When a lane counts as down; None for the defaults.
        table (LaneTable | None): The limits of lanes; None for none.
        patience_s (float): Who would have to wait longer for a permit is told to come again.
        now (Callable[[], float] | None): A clock that only goes forward, for circuits and the pace; None for the machine's.
        several (Mapping[str, Sequence[str]] | None): Models with several deployments: their lane to those of the deployments.
    """

    def __init__(
        self,
        messages: MessageStore,
        clock: Clock,
        *,
        circuit: Circuit | None = None,
        table: LaneTable | None = None,
        patience_s: float = 5.0,
        now: Callable[[], float] | None = None,
        several: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._messages = messages
        self._clock = clock
        self._awake = now or awake
        self._circuits = Circuits(circuit or Circuit(), now)
        self._throttles: dict[str, Throttle] = {}
        self._table = table or LaneTable()
        self._patience_s = patience_s
        self._shared: Shared | None = None
        self._portions: dict[str, Portion] = {}
        self._closed: dict[str, ErrorFacts] = {}
        self._noted_at: dict[str, Moment] = {}
        self._several = dict(several or {})
        self._known: set[str] = {lane for lanes in self._several.values() for lane in lanes}
        self.moved: asyncio.Event = asyncio.Event()
        """Set when there may be room in a limited lane again."""
        self.rooms: Rooms = Rooms(self._several, self._portion, self._throttles, self.closed)
        """How many messages may still begin."""

    def share(self, store: LaneStore, worker: int) -> None:
        """Share lanes with all other processes from now on. Limits hold from here on, and not before.

        Args:
            store (LaneStore): Where the books are.
            worker (int): Who we are.
        """
        self._shared = Shared(store, worker)
        self._circuits.share(store, worker)

    async def close_all(self) -> None:
        """Settle what was lent, at the end of the worker."""
        for portion in self._portions.values():
            await portion.close()
        await self._circuits.close()

    # Calls --------------------------------------------------------------------------------------------

    def closed(self, lane: str) -> ErrorFacts | None:
        """Tell what stands against a lane.

        Args:
            lane (str): `provider/model`.

        Returns:
            ErrorFacts | None: With the moment; None if the lane is open.
        """
        error = self._closed.get(lane)
        return error if error is not None and _until(error) > self._clock.now() else None

    async def enter(self, lane: str, ask: Ask | None = None) -> Passage | ErrorFacts:
        """Ask before a call.

        Args:
            lane (str): `provider/model`.
            ask (Ask | None): What it will use; None for one small request.

        Returns:
            Passage | ErrorFacts: The way through, or what stands against it, with the moment.
        """
        standing = self.closed(lane)
        if standing is not None:
            return standing
        probe = await self._circuits.let_in(lane)
        if isinstance(probe, Refusal):
            error = self._open(f"{lane!r} failed too often just now; one call has gone through to see", probe.wait_s)
            await self.close(lane, error)  # or else the whole backlog would come, one after the other, to be refused
            return error
        try:
            permit = self._held_back(lane, ask) or await self._permit(lane, ask or Ask())
        except BaseException:
            self._circuits.gave_up(lane, probe=probe)
            raise
        if isinstance(permit, ErrorFacts):
            self._circuits.gave_up(lane, probe=probe)
            return permit
        return self._way(lane, ask, permit, probe=probe)

    def refused(self, lane: str) -> bool:
        """Tell whether the provider itself has closed a lane, as far as this process knows.

        Args:
            lane (str): `provider/model`.

        Returns:
            bool: False also where it is closed for a limit of ours, which those that have a permit have passed.
        """
        standing = self.closed(lane)
        return standing is not None and standing.code not in _OWN

    async def met(self, lane: str, error: ErrorFacts, *, probe: bool = False, call: Sent | None = None) -> None:
        """Draw the conclusions from what a call met.

        Args:
            lane (str): `provider/model`.
            error (ErrorFacts): What the call met.
            probe (bool): Whether it was the one that went through to see.
            call (Sent | None): The call, as the lane's throttle knows it.
        """
        if not counts_in_circuit(error):
            self._circuits.gave_up(lane, probe=probe)
            if self._for_all(lane, error, call):
                await self.close(lane, error)
                await self._slow(lane, error)
            return
        wait_s = await self._circuits.failed(lane, probe=probe)
        if wait_s is not None:
            await self.close(lane, self._open(f"{lane!r} fails again and again, now with {error.code}", wait_s))

    def answered(self, lane: str, *, probe: bool = False) -> None:
        """Note that a call was answered.

        Args:
            lane (str): `provider/model`.
            probe (bool): Whether it was the one that went through to see.
        """
        self._circuits.answered(lane, probe=probe)

    def gave_up(self, lane: str, *, probe: bool = False) -> None:
        """Note that a call ended without saying anything of its lane.

        Args:
            lane (str): `provider/model`.
            probe (bool): Whether it was the one that went through to see.
        """
        self._circuits.gave_up(lane, probe=probe)

    # What is closed -----------------------------------------------------------------------------------

    def seen(self, routes: Iterable[Route]) -> None:
        """Take over what the store's routes say.

        Args:
            routes (Iterable[Route]): All routes, as just read.
        """
        for route in routes:
            if route.lane is None or route.lane in self._several:  # of those the lanes of their deployments say more
                continue
            self._known.add(route.lane)
            until = route.lane_closed_until
            if until is not None and route.lane_closed_why == OPENED:
                self.opened(route.lane, at=until)
                continue
            if until is not None and self._note(route.lane, _elsewhere(route.lane, until)) and route.lane_closed_why == _CIRCUIT_OPEN:
                self._circuits.trip(route.lane, until - self._clock.now())

    def opened(self, lane: str, *, at: Moment = math.inf) -> None:
        """Take over that a person has opened a lane: what was known before is not true any more.

        Args:
            lane (str): `provider/model`.
            at (Moment): When.
        """
        if self._noted_at.get(lane, math.inf) <= at and self._closed.pop(lane, None) is not None:
            self._circuits.reset(lane)

    async def close(self, lane: str, error: ErrorFacts) -> None:
        """Close a lane, and those that share what stands against it.

        Args:
            lane (str): `provider/model`.
            error (ErrorFacts): What that is; what concerns one request alone closes nothing.
        """
        if not closes_lane(error):
            return
        until = error.retry_at or unsaid_until(error, now=self._clock.now())
        for shut in sorted(self._reached(lane, error.scope)):
            if self._note(shut, msgspec.structs.replace(error, retry_at=until)):
                await self._write(shut, error, until)
                await self._close_several(shut)

    # How ----------------------------------------------------------------------------------------------

    def _portion(self, lane: str) -> Portion | None:
        portion = self._portions.get(lane)
        if portion is None and self._shared is not None and (limits := self._table.of(lane)) is not None:
            portion = self._portions[lane] = Portion(lane, limits, self._shared, self._clock.now, self.moved.set)
        return portion

    def _throttle(self, lane: str) -> Throttle:
        if lane not in self._throttles:
            self._throttles[lane] = Throttle(self._awake)
        return self._throttles[lane]

    def _held_back(self, lane: str, ask: Ask | None) -> ErrorFacts | None:
        """Who would have to wait long for his turn in a lane that goes slower comes again; the lane stays open for others."""
        wait_s = self._throttle(lane).wait_s
        if wait_s <= (self._patience_s if ask is None or ask.patience_s is None else ask.patience_s):
            return None
        at = self._clock.now() + wait_s
        tell("lane.limited", lane=lane, why="lane-slowed", wait_s=wait_s)
        what = f"{lane!r} goes slower since its provider refused calls; the next may start at {iso(at)}"
        return LaneFull(
            what, retry_at=at, hint="Give the lane the provider's limits (`rpm`, `tpm`), and it goes as fast as they allow."
        ).facts()

    def _for_all(self, lane: str, error: ErrorFacts, call: Sent | None) -> bool:
        """Tell whether what one call met stands against all; a rate limit need not."""
        throttle, now = self._throttle(lane), self._clock.now()
        if not slows_lane(error, now=now):
            if call is not None:
                throttle.over(call) if closes_lane(error) else throttle.let_in(call)
            return True
        was_on = throttle.on
        meant = throttle.refused(call or Sent(), max(0.0, (error.retry_at or unsaid_until(error, now=now)) - now))
        if not was_on:
            tell("lane.slowed", lane=lane, a_second=throttle.a_second)
        return meant

    def _way(self, lane: str, ask: Ask | None, permit: Permit | None, *, probe: bool) -> Way:
        throttle, portion = self._throttle(lane), self._portion(lane)
        call = throttle.begin()
        starts = [] if permit is None else [permit.starts_at]
        if call.wait_s:
            starts.append(self._clock.now() + call.wait_s)
        learn = None if portion is None or ask is None or not portion.limits.weighs else partial(portion.demand.learn, ask.prompt_tokens)
        return Way(
            self,
            lane,
            permit,
            throttle=throttle,
            call=call,
            starts_at=max(starts, default=None),
            probe=probe,
            learn=learn,
            believe=None if portion is None else portion.believe,
        )

    async def _permit(self, lane: str, ask: Ask) -> Permit | ErrorFacts | None:
        portion = self._portion(lane)
        if portion is None:
            return None
        limits = portion.limits
        patience_s = self._patience_s if ask.patience_s is None else ask.patience_s
        tokens = portion.demand.prompt_tokens(ask.prompt_tokens) + ask.answer_tokens(limits.unsaid_tokens) if limits.weighs else 0
        need = Need(tokens=tokens, usd=ask.usd, patience_s=patience_s)
        permit = await portion.take(need)
        return permit if isinstance(permit, Permit) else await self._refused(lane, permit, need)

    async def _refused(self, lane: str, answer: NotYet, need: Need) -> ErrorFacts:
        """A lane that has nothing for a while is closed until shortly before it has: nobody needs to wait for it in a slot."""
        if answer.why is Reason.TOO_DEAR:
            what = f"one call of {lane!r} could cost {need.usd:.4f} USD, more than the lane may spend"
            return CallTooDear(what, hint="Raise the budget of the lane, or let the request limit its answer (`max_tokens`).").facts()
        at = self._clock.now() + answer.wait_s
        what = f"{lane!r} is at its limit ({answer.why.value}) until {iso(at)}"
        error = _OURS[answer.why](what, retry_at=at, hint=f"`perdure lanes list` shows the limits of {lane!r} and what uses them.").facts()
        tell("lane.limited", lane=lane, why=answer.why.value, wait_s=answer.wait_s)
        if answer.wait_s > self._patience_s:
            await self.close(lane, msgspec.structs.replace(error, retry_at=at - LEAD_S))
        return error

    async def _slow(self, lane: str, error: ErrorFacts) -> None:
        portion = self._portion(lane)
        if portion is None or error.category is not Category.RATE_LIMIT or error.scope is Scope.REQUEST:
            return
        until = error.retry_at or unsaid_until(error, now=self._clock.now())
        try:
            await portion.slow(max(0.0, until - self._clock.now()))
        except StoreError as trouble:  # the lane is closed here all the same, or was closed by whoever met it first
            handle(trouble, where="worker.lanes", what=f"that the lane {lane} has to be slow could not be told")

    def _open(self, what: str, wait_s: float) -> ErrorFacts:
        return CircuitOpen(what, retry_at=self._clock.now() + wait_s).facts()

    async def _close_several(self, lane: str) -> None:
        """Close the models none of whose deployments is open now that this one is not."""
        for name, lanes in self._several.items():
            standing = [self.closed(one) for one in lanes] if lane in lanes else []
            shut = [one for one in standing if one is not None]
            if shut and len(shut) == len(standing):
                first = min(shut, key=_until)
                await self._write(name, first, _until(first))

    def _reached(self, lane: str, scope: Scope) -> set[str]:
        """A model's limit is its own; a key and an account are shared by a provider's lanes, an endpoint by all accounts there."""
        if scope is Scope.MODEL:
            return {lane}
        return {lane} | {known for known in self._known if _shared(known, scope) == _shared(lane, scope)}

    def _note(self, lane: str, error: ErrorFacts) -> bool:
        standing = self._closed.get(lane)
        if _until(error) <= self._clock.now() or (standing is not None and _until(error) <= _until(standing) + _TOLERANCE_S):
            return False
        self._closed[lane], self._noted_at[lane] = error, self._clock.now()
        return True

    async def _write(self, lane: str, error: ErrorFacts, until: Moment) -> None:
        why = _CIRCUIT_OPEN if error.category is Category.CIRCUIT_OPEN else error.code
        try:
            await self._messages.close_lane(lane, until=until, why=why)
        except StoreError as trouble:  # the run that met the limit waits all the same, and the next to meet it closes the lane
            handle(trouble, where="worker.lanes", what=f"the lane {lane} could not be closed")
        else:
            tell("lane.closed", lane=lane, until=until, code=error.code)


def _until(error: ErrorFacts) -> Moment:
    return error.retry_at or 0.0


def _shared(lane: str, scope: Scope) -> str:
    provider = lane.partition("/")[0]
    return base_of(provider) if scope is Scope.ENDPOINT else provider


def _elsewhere(lane: str, until: Moment) -> ErrorFacts:
    """Another process met the limit; the route says only until when."""
    return CircuitOpen(f"the lane {lane!r} is closed until {iso(until)}", retry_at=until).facts()
