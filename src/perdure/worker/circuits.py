"""Lanes that are down: each process notices by its own calls, and all of them together send one to see whether it is over.

A circuit counts here, which costs nothing while all is well. Only when it has opened is the lane's book asked: who may make
the one call that goes through to see, and whether somebody else has found the lane mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from perdure.clock import awake
from perdure.errors.base import CircuitRefused, LeaseError, StoreError
from perdure.errors.handler import handle
from perdure.events import tell
from perdure.providers.lanes import Heard, LaneStore, Standing
from perdure.resources.circuit_breaker import CircuitBreaker, CircuitState

__all__ = ["Circuit", "Circuits", "Refusal"]

_AGAIN_S = (0.2, 1.0, 5.0, 15.0, 60.0)
"""While it is not told how a probe went, nobody else makes one."""
_PATIENCE_S = 2.0


class Circuit(msgspec.Struct, frozen=True, kw_only=True):
    """When a lane counts as down."""

    failures: int = 5
    """So many calls in a row that got no answer open its circuit."""
    rest_s: float = 5.0
    """How long the lane is closed at first."""
    longest_rest_s: float = 60.0
    """How long at most, while the calls that go through to see fail as well."""


class Refusal(NamedTuple):
    """A circuit is open."""

    wait_s: float


class Circuits:
    """The circuits of one worker's lanes.

    Args:
        rule (Circuit): When a lane counts as down.
        now (Callable[[], float] | None): A clock that only goes forward; None for the machine's.
    """

    def __init__(self, rule: Circuit, now: Callable[[], float] | None = None) -> None:
        self._rule, self._now = rule, now or awake
        self._breakers: dict[str, CircuitBreaker] = {}
        self._shared: tuple[LaneStore, int] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def share(self, store: LaneStore, worker: int) -> None:
        """Agree with all other processes from now on.

        Args:
            store (LaneStore): Where the books are.
            worker (int): Who we are.
        """
        self._shared = (store, worker)

    async def let_in(self, lane: str) -> bool | Refusal:
        """Ask before a call.

        Args:
            lane (str): `provider/model`.

        Returns:
            bool | Refusal: Whether the call is the one that goes through to see; or for how long none does.
        """
        breaker = self._breaker(lane)
        if breaker.state is CircuitState.CLOSED:
            return False
        try:
            breaker.allow()
        except CircuitRefused as refused:
            return Refusal(refused.wait_s)
        try:
            standing = await self._health(lane, Heard.ASKS)
        except BaseException:
            breaker.gave_up()
            raise
        if standing is None or standing.probe:
            tell("lane.probed", lane=lane)
            return True
        if standing.healthy:  # somebody else has seen to it
            breaker.succeeded()
            return False
        breaker.trip(standing.wait_s)
        return Refusal(standing.wait_s)

    def trip(self, lane: str, wait_s: float) -> None:
        """Take over that another process has found a lane down.

        Args:
            lane (str): `provider/model`.
            wait_s (float): For how long it is left alone.
        """
        self._breaker(lane).trip(wait_s)

    def reset(self, lane: str) -> None:
        """Let all calls of a lane through again.

        Args:
            lane (str): `provider/model`.
        """
        self._breaker(lane).succeeded()

    def answered(self, lane: str, *, probe: bool) -> None:
        """Note that a call was answered.

        Args:
            lane (str): `provider/model`.
            probe (bool): Whether it was the one that went through to see.
        """
        self._breaker(lane).succeeded()
        if probe:
            tell("lane.mended", lane=lane)
            self._aside(lane, Heard.MENDED)

    async def failed(self, lane: str, *, probe: bool) -> float | None:
        """Note that a call failed.

        Args:
            lane (str): `provider/model`.
            probe (bool): Whether it was the one that went through to see.

        Returns:
            float | None: For how long the lane is to be left alone, if that has opened its circuit.
        """
        breaker = self._breaker(lane)
        if not breaker.failed():
            return None
        standing: Standing | None = None
        try:
            standing = await self._health(lane, Heard.FAILED if probe else Heard.DOWN)
        except (StoreError, LeaseError) as trouble:  # it is down all the same
            handle(trouble, where="worker.lanes", what=f"that the lane {lane} is down could not be told")
        if standing is not None and standing.wait_s > breaker.wait_s:
            breaker.trip(standing.wait_s)
        return breaker.wait_s

    def gave_up(self, lane: str, *, probe: bool) -> None:
        """Note that a call ended without saying anything of its lane.

        Args:
            lane (str): `provider/model`.
            probe (bool): Whether it was the one that went through to see.
        """
        if probe:
            self._breaker(lane).gave_up()
            self._aside(lane, Heard.GAVE_UP)

    async def close(self) -> None:
        """Wait a moment until all is told."""
        if self._telling:
            _, late = await asyncio.wait(self._telling, timeout=_PATIENCE_S)
            for task in late:
                task.cancel()

    async def _health(self, lane: str, heard: Heard) -> Standing | None:
        if self._shared is None:
            return None
        store, worker = self._shared
        rule = self._rule
        return await store.health(lane, heard, worker=worker, rest_s=rule.rest_s, longest_rest_s=rule.longest_rest_s)

    def _aside(self, lane: str, heard: Heard) -> None:
        async def told() -> None:
            for pause_s in _AGAIN_S:
                try:
                    await self._health(lane, heard)
                except StoreError as trouble:
                    handle(trouble, where="worker.lanes", what=f"how the lane {lane} is could not be told")
                    await asyncio.sleep(pause_s)
                except LeaseError:  # we count as dead, and the probe as given up
                    return
                else:
                    return

        if self._shared is not None:
            task = asyncio.create_task(told())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    def _breaker(self, lane: str) -> CircuitBreaker:
        if lane not in self._breakers:
            rule = self._rule
            self._breakers[lane] = CircuitBreaker(
                failures=rule.failures, rest_s=rule.rest_s, longest_rest_s=rule.longest_rest_s, now=self._now
            )
        return self._breakers[lane]
