"""What stands against routes now: pauses, closed lanes, and that no living worker can serve them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from perdure.clock import Moment
from perdure.messages.routes import Route, blocked_by
from perdure.stores.sql.statements import Run, statement

__all__ = ["Obstacles", "RouteBook"]

_ALL_PAUSED, _ROUTES, _ROUTE = statement("all_paused"), statement("route_list"), statement("route_now")
_NEWEST, _PAUSED, _LANES = statement("route_newest"), statement("queue_paused"), statement("lane_list")
_ABLE, _OCCUPIED, _HELD_THERE = statement("agent_able"), statement("route_occupied"), statement("held_occupied")
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


class RouteBook:
    """Every route, as readers see them; made anew only when something about them has changed.

    A route is never renamed and never goes, so those read before are known by the newest of them. What stands
    against them - switches, closed lanes, whether somebody lies in quarantine - is small and read each time.
    Only what is committed may be kept here, so a transaction has no use of it.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, list[Route]] = (None, [])

    def all(self, run: Run) -> list[Route]:
        """List every route with what stands against it.

        Args:
            run (Run): Of a reader.

        Returns:
            list[Route]: In the order they came to be; the same list as before if nothing has changed.
        """
        mark, routes = self._kept
        now = _mark(run, routes)
        if mark != now:
            all_paused = bool(run(_ALL_PAUSED).get)
            routes = [_route(row, all_paused=all_paused) for row in run(_ROUTES)]
            now = _mark(run, routes)
            occupied = now[-1]
            routes = [msgspec.structs.replace(route, occupied=True) if route.id in occupied else route for route in routes]
            self._kept = (now, routes)
        return routes


def _mark(run: Run, routes: list[Route]) -> tuple[Any, ...]:
    occupied = frozenset(
        route.id for route in routes if route.quarantine and (run(_OCCUPIED, (route.id,)).get or run(_HELD_THERE, (route.id,)).get)
    )
    switches = tuple(tuple(run(sql).fetchall()) for sql in (_NEWEST, _ALL_PAUSED, _PAUSED, _LANES))
    return (*switches, occupied)


def _route(row: tuple[int, str, str, str | None, str | None, int, int | None, Moment | None, str | None], *, all_paused: bool) -> Route:
    number, queue, agent, version, lane, quarantine, paused, closed_until, why = row
    return Route(
        id=number,
        queue=queue,
        agent=agent,
        version=version,
        lane=lane,
        quarantine=bool(quarantine),
        paused=all_paused or bool(paused),
        lane_closed_until=closed_until,
        lane_closed_why=why,
    )
