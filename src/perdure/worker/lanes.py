"""Closed lanes, as far as this process knows: what a run met, at once; what others met, from the routes.

A rate limit or an account that needs a person stands against every message of its lane. Closing the lane
in the store keeps those that have not begun from starting; runs under way ask before each call and wait
instead of collecting the same refusal.

A lane whose calls fail one after the other is as good as closed, though nobody says so: each lane has a circuit.
When that opens, the lane is closed in the store for as long, so whoever meets it waits and uses no attempt. Once it
is time, one call of each process goes through to see; the others wait until it is known how that went.

A model with several deployments has a lane of its own name, by which its messages are kept: that is closed once the lanes
of all its deployments are, until the first of them opens. While one is open its messages start, and go there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from perdure.agents.parts import Passage
from perdure.clock import Clock, Moment, awake, iso
from perdure.errors.base import Category, CircuitOpen, CircuitRefused, ErrorFacts, Scope, StoreError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.messages.retry import closes_lane, counts_in_circuit, unsaid_until
from perdure.messages.routes import Route
from perdure.messages.store import MessageStore
from perdure.providers.target import base_of
from perdure.resources.circuit_breaker import CircuitBreaker

__all__ = ["Circuit", "Lanes"]

_TOLERANCE_S = 0.5
"""A lane is not closed anew for so little: many runs meet the same limit within a moment."""
_CIRCUIT_OPEN = "circuit-open"


class Circuit(msgspec.Struct, frozen=True, kw_only=True):
    """When a lane counts as down."""

    failures: int = 5
    """So many calls in a row that got no answer open its circuit."""
    rest_s: float = 5.0
    """How long the lane is closed at first."""
    longest_rest_s: float = 60.0
    """How long at most, while the calls that go through to see fail as well."""


class Lanes:
    """Knows and closes the lanes of one worker; keeps the contract in `agents/parts.py`.

    Args:
        messages (MessageStore): Where a closed lane is seen by everybody.
        clock (Clock): The store's time.
        circuit (Circuit | None): When a lane counts as down; None for the defaults.
        now (Callable[[], float] | None): The clock of the circuits, which only goes forward; None for the machine's.
        several (Mapping[str, Sequence[str]] | None): Models with several deployments: their lane to those of the deployments.
    """

    def __init__(
        self,
        messages: MessageStore,
        clock: Clock,
        *,
        circuit: Circuit | None = None,
        now: Callable[[], float] | None = None,
        several: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._messages = messages
        self._clock = clock
        self._circuit = circuit or Circuit()
        self._now = now or awake
        self._circuits: dict[str, CircuitBreaker] = {}
        self._closed: dict[str, ErrorFacts] = {}
        self._several = dict(several or {})
        self._known: set[str] = {lane for lanes in self._several.values() for lane in lanes}

    def closed(self, lane: str) -> ErrorFacts | None:
        """Tell what stands against a lane.

        Args:
            lane (str): `provider/model`.

        Returns:
            ErrorFacts | None: With the moment; None if the lane is open.
        """
        error = self._closed.get(lane)
        return error if error is not None and _until(error) > self._clock.now() else None

    async def enter(self, lane: str) -> Passage | ErrorFacts:
        """Ask before a call.

        Args:
            lane (str): `provider/model`.

        Returns:
            Passage | ErrorFacts: The way through, or what stands against it, with the moment.
        """
        standing = self.closed(lane)
        if standing is not None:
            return standing
        circuit = self._circuit_of(lane)
        try:
            circuit.allow()
        except CircuitRefused as refused:
            error = self._open(f"{lane!r} failed too often just now; one call has gone through to see", refused.wait_s)
            await self.close(lane, error)  # or else the whole backlog would come, one after the other, to be refused
            return error
        return _Passage(self, lane, circuit)

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
            if until is not None and self._note(route.lane, _elsewhere(route.lane, until)) and route.lane_closed_why == _CIRCUIT_OPEN:
                self._circuit_of(route.lane).trip(until - self._clock.now())

    async def met(self, lane: str, circuit: CircuitBreaker, error: ErrorFacts) -> None:
        """Draw the conclusions from what a call met.

        Args:
            lane (str): `provider/model`.
            circuit (CircuitBreaker): The lane's.
            error (ErrorFacts): What the call met.
        """
        if not counts_in_circuit(error):
            circuit.gave_up()
            await self.close(lane, error)
        elif circuit.failed():
            await self.close(lane, self._open(f"{lane!r} fails again and again, now with {error.code}", circuit.wait_s))

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

    def _circuit_of(self, lane: str) -> CircuitBreaker:
        if lane not in self._circuits:
            rule = self._circuit
            self._circuits[lane] = CircuitBreaker(
                failures=rule.failures, rest_s=rule.rest_s, longest_rest_s=rule.longest_rest_s, now=self._now
            )
        return self._circuits[lane]

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
        self._closed[lane] = error
        return True

    async def _write(self, lane: str, error: ErrorFacts, until: Moment) -> None:
        why = _CIRCUIT_OPEN if error.category is Category.CIRCUIT_OPEN else error.code
        try:
            await self._messages.close_lane(lane, until=until, why=why)
        except StoreError as trouble:  # the run that met the limit waits all the same, and the next to meet it closes the lane
            handle(trouble, where="worker.lanes", what=f"the lane {lane} could not be closed")
        else:
            tell("lane.closed", lane=lane, until=until, code=error.code)


class _Passage:
    """Keeps the contract in `agents/parts.py`."""

    def __init__(self, lanes: Lanes, lane: str, circuit: CircuitBreaker) -> None:
        self._lanes, self._lane, self._circuit = lanes, lane, circuit
        self._told = False

    def answered(self) -> None:
        self._told = True
        self._circuit.succeeded()

    async def met(self, error: ErrorFacts) -> None:
        self._told = True
        await self._lanes.met(self._lane, self._circuit, error)

    def left(self) -> None:
        if not self._told:
            self._told = True
            self._circuit.gave_up()


def _until(error: ErrorFacts) -> Moment:
    return error.retry_at or 0.0


def _shared(lane: str, scope: Scope) -> str:
    provider = lane.partition("/")[0]
    return base_of(provider) if scope is Scope.ENDPOINT else provider


def _elsewhere(lane: str, until: Moment) -> ErrorFacts:
    """Another process met the limit; the route says only until when."""
    return CircuitOpen(f"the lane {lane!r} is closed until {iso(until)}", retry_at=until).facts()
