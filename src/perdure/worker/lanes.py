"""Closed lanes, as far as this process knows: what a run met, at once; what others met, from the routes.

A rate limit or an account that needs a person stands against every message of its lane. Closing the lane
in the store keeps those that have not begun from starting; runs under way ask `closed` before each call
and wait instead of collecting the same refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from perdure.clock import Clock, Moment, iso
from perdure.errors.base import CircuitOpen, ErrorFacts, Scope, StoreError
from perdure.events import tell
from perdure.messages.retry import closes_lane, unsaid_until
from perdure.messages.routes import Route
from perdure.messages.store import MessageStore

__all__ = ["Lanes"]

_TOLERANCE_S = 0.5
"""A lane is not closed anew for so little: many runs meet the same limit within a moment."""
_log = logging.getLogger("perdure.worker")


class Lanes:
    """Knows and closes the lanes of one worker; keeps the contract in `agents/parts.py`.

    Args:
        messages (MessageStore): Where a closed lane is seen by everybody.
        clock (Clock): The store's time.
    """

    def __init__(self, messages: MessageStore, clock: Clock) -> None:
        self._messages = messages
        self._clock = clock
        self._closed: dict[str, ErrorFacts] = {}
        self._known: set[str] = set()

    def closed(self, lane: str) -> ErrorFacts | None:
        """Tell what stands against a lane; None if it is open."""
        error = self._closed.get(lane)
        return error if error is not None and _until(error) > self._clock.now() else None

    def seen(self, routes: Iterable[Route]) -> None:
        """Take over what the store's routes say.

        Args:
            routes (Iterable[Route]): All routes, as just read.
        """
        for route in routes:
            if route.lane is None:
                continue
            self._known.add(route.lane)
            if route.lane_closed_until is not None:
                self._note(route.lane, _elsewhere(route.lane, route.lane_closed_until))

    async def close(self, lane: str, error: ErrorFacts) -> None:
        """Close a lane, and those that share what stands against it."""
        if not closes_lane(error):
            return
        until = error.retry_at or unsaid_until(error, now=self._clock.now())
        for shut in sorted(self._reached(lane, error.scope)):
            if self._note(shut, msgspec.structs.replace(error, retry_at=until)):
                await self._write(shut, error, until)

    def _reached(self, lane: str, scope: Scope) -> set[str]:
        """A model's limit is its own; a key, an account and an endpoint are shared by a provider's lanes."""
        if scope is Scope.MODEL:
            return {lane}
        provider = lane.partition("/")[0] + "/"
        return {lane} | {known for known in self._known if known.startswith(provider)}

    def _note(self, lane: str, error: ErrorFacts) -> bool:
        standing = self._closed.get(lane)
        if _until(error) <= self._clock.now() or (standing is not None and _until(error) <= _until(standing) + _TOLERANCE_S):
            return False
        self._closed[lane] = error
        return True

    async def _write(self, lane: str, error: ErrorFacts, until: Moment) -> None:
        try:
            await self._messages.close_lane(lane, until=until, why=error.code)
        except StoreError as trouble:  # the run that met the limit waits all the same, and the next to meet it closes the lane
            _log.warning("the lane %s could not be closed: %s", lane, trouble)
        else:
            tell("lane.closed", lane=lane, until=until, code=error.code)


def _until(error: ErrorFacts) -> Moment:
    return error.retry_at or 0.0


def _elsewhere(lane: str, until: Moment) -> ErrorFacts:
    """Another process met the limit; the route says only until when."""
    return CircuitOpen(f"the lane {lane!r} is closed until {iso(until)}", retry_at=until).facts()
