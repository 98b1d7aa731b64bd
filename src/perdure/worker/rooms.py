"""How many messages a worker may lease for lanes where calls are held back: no more than can start soon.

A lane is held back by limits of ours (`room.py`) or by a throttle; a model with several deployments has the room of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from perdure.errors.base import ErrorFacts
from perdure.messages.routes import Route
from perdure.worker.portions import Portion
from perdure.worker.throttle import Throttle

__all__ = ["Rooms"]

_LOOK_S = 1.0
"""A closed lane is none of our haste: the store's routes say when it opens."""


class Rooms:
    """Of one worker's lanes.

    Args:
        several (Mapping[str, Sequence[str]]): Models with several deployments: their lane to those of the deployments.
        portion_of (Callable[[str], Portion | None]): Finds what the worker has of a limited lane.
        throttles (Mapping[str, Throttle]): By lane; grows.
        closed (Callable[[str], ErrorFacts | None]): Tells what stands against a lane.
    """

    def __init__(
        self,
        several: Mapping[str, Sequence[str]],
        portion_of: Callable[[str], Portion | None],
        throttles: Mapping[str, Throttle],
        closed: Callable[[str], ErrorFacts | None],
    ) -> None:
        self._several, self._portion_of = several, portion_of
        self._throttles, self._closed = throttles, closed

    async def now(self, routes: Iterable[Route]) -> dict[str, int]:
        """Say how many messages may be leased.

        Args:
            routes (Iterable[Route]): Those that could be served.

        Returns:
            dict[str, int]: By lane; a lane where nothing is held back is not in it.

        Raises:
            StoreError: A book could not be had.
            WorkerFenced: This worker was declared dead.
        """
        lanes = {route.lane for route in routes if route.lane is not None}
        for lane in sorted(lanes):
            for one in self._deployments(lane) if self._room(lane) is not None else ():
                if (portion := self._portion_of(one)) is not None:
                    await portion.look()
        return {lane: room for lane in lanes if (room := self._room(lane)) is not None}

    def leased(self, lane: str) -> None:
        """Note that a message was leased that is going to ask its lane.

        Args:
            lane (str): Of the message.
        """
        if self._room(lane) is None:
            return
        likeliest = max(self._deployments(lane), key=lambda one: self._room_of(one) or 0)
        if (portion := self._portion_of(likeliest)) is not None:
            portion.room.leased()
        if (throttle := self._throttles.get(likeliest)) is not None and throttle.on:
            throttle.leased()

    def opens_in_s(self, lanes: Iterable[str]) -> float | None:
        """Say when one of some lanes may have room again.

        Args:
            lanes (Iterable[str]): Those that have none.

        Returns:
            float | None: Seconds; None if there is no such lane.
        """
        return min((self._opens_in_s(one) for lane in lanes for one in self._deployments(lane)), default=None)

    def _deployments(self, lane: str) -> Sequence[str]:
        return self._several.get(lane, (lane,))

    def _room(self, lane: str) -> int | None:
        rooms = [self._room_of(one) for one in self._deployments(lane)]
        return None if None in rooms else sum(room or 0 for room in rooms)

    def _room_of(self, lane: str) -> int | None:
        """Of one deployment; None for as much as there is."""
        if self._closed(lane) is not None:
            return 0
        portion, throttle = self._portion_of(lane), self._throttles.get(lane)
        rooms = [] if portion is None else [portion.room.messages]
        if throttle is not None and throttle.room is not None:
            rooms.append(throttle.room)
        return min(rooms, default=None)

    def _opens_in_s(self, lane: str) -> float:
        if self._closed(lane) is not None:
            return _LOOK_S
        portion, throttle = self._portion_of(lane), self._throttles.get(lane)
        return max(0.0 if portion is None else portion.room.opens_in_s, 0.0 if throttle is None or not throttle.on else throttle.opens_in_s)
