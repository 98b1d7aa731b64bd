"""What stands against routes now: pauses, closed lanes, and that no living worker can serve them."""

from __future__ import annotations

from functools import cached_property

import msgspec

from perdure.clock import Moment
from perdure.messages.routes import Route, blocked_by
from perdure.stores.sqlite.readers import Run
from perdure.stores.sqlite.statements import statement

__all__ = ["Obstacles", "all_routes"]

_ALL_PAUSED, _ROUTES, _ROUTE = statement("all_paused"), statement("route_list"), statement("route_now")
_ABLE, _OCCUPIED = statement("agent_able"), statement("route_occupied")
_decode_queues = msgspec.json.Decoder(list[str]).decode


class Obstacles:
    """As of one read or transaction; each part is read once, when it is first needed.

    Args:
        run (Run): Of a reader or a transaction.
        now (Moment): The store's time.
    """

    def __init__(self, run: Run, now: Moment) -> None:
        self._run, self._now = run, now
        self._reasons: dict[int, str | None] = {}

    @cached_property
    def _all_paused(self) -> bool:
        return bool(self._run(_ALL_PAUSED).get)

    def of(self, route: Route) -> str | None:
        """Say why nothing of a route can start now.

        Args:
            route (Route): Which.

        Returns:
            str | None: As in `View.blocked_by`.
        """
        if route.id not in self._reasons:
            self._reasons[route.id] = self._reason(route)
        return self._reasons[route.id]

    def of_id(self, id: int) -> str | None:
        """Say why nothing of a route can start now.

        Args:
            id (int): Its number.

        Returns:
            str | None: As in `View.blocked_by`.
        """
        if id not in self._reasons:
            self._reasons[id] = self._reason(_route(self._run(_ROUTE, (id,)).fetchone(), all_paused=self._all_paused))
        return self._reasons[id]

    def _reason(self, route: Route) -> str | None:
        known = {
            (route.agent, version)
            for version, quarantine, queues in self._able.get(route.agent, ())
            if quarantine == route.quarantine and (queues is None or route.queue in queues)
        }
        reason = blocked_by(route, known=known, all_paused=self._all_paused, now=self._now)
        return "quarantine" if reason == "no-worker" and route.quarantine else reason

    @cached_property
    def _able(self) -> dict[str, list[tuple[str, bool, list[str] | None]]]:
        """Which living workers know an agent: in which version, and whom they serve."""
        able: dict[str, list[tuple[str, bool, list[str] | None]]] = {}
        for agent, version, quarantine, queues in self._run(_ABLE):
            able.setdefault(agent, []).append((version, bool(quarantine), None if queues is None else _decode_queues(queues)))
        return able


def all_routes(run: Run) -> list[Route]:
    """List every route with what stands against it.

    Args:
        run (Run): Of a reader or a transaction.

    Returns:
        list[Route]: In the order they came to be.
    """
    all_paused = bool(run(_ALL_PAUSED).get)
    routes = [_route(row, all_paused=all_paused) for row in run(_ROUTES)]
    return [
        msgspec.structs.replace(route, occupied=True) if route.quarantine and run(_OCCUPIED, (route.id,)).get else route for route in routes
    ]


def _route(row: tuple[int, str, str, str | None, str | None, int, int | None, Moment | None], *, all_paused: bool) -> Route:
    number, queue, agent, version, lane, quarantine, paused, closed_until = row
    return Route(
        id=number,
        queue=queue,
        agent=agent,
        version=version,
        lane=lane,
        quarantine=bool(quarantine),
        paused=all_paused or bool(paused),
        lane_closed_until=closed_until,
    )
