"""Routes: what a message needs of a worker, said once for all messages that need the same.

A route is (queue, agent, version pin, lane, quarantine), interned when the first such message is put.
Ready messages are kept by route, so a worker passes the routes it can serve *now* and neither an
unknown agent nor a closed lane is ever scanned over; blocking a route moves no rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Category
from perdure.errors.recovery import ACCOUNT
from perdure.messages.message import Wait

__all__ = ["MOST_WOKEN", "OPENED", "WOKEN_AFTER_S", "Route", "blocked_by", "servable", "waits_for_its_lane"]

OPENED = "opened"
"""Why a lane is as it is: a person has opened it, at the moment until which it would have been closed else."""
MOST_WOKEN, WOKEN_AFTER_S = 1000, 0.5
"""So many of the messages parked for a lane are woken when it is opened by hand, and so long after."""
_OF_LANES = frozenset({Category.RATE_LIMIT, Category.CIRCUIT_OPEN}) | ACCOUNT


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of message needs, and what stands against it now."""

    id: int
    queue: str
    agent: str
    version: str | None = None
    lane: str | None = None
    quarantine: bool = False
    """True where messages lie that took their process down twice; only a quarantine process serves it."""
    paused: bool = False
    """The queue, or everything, is paused."""
    lane_closed_until: Moment | None = None
    lane_closed_why: str | None = None
    """As given to `close_lane`; kept when the lane is open again, or `OPENED` if that was by hand, at `lane_closed_until`."""
    occupied: bool = False
    """Told of quarantine routes only: whether a message lies ready there, so that a process is started for it."""


def servable(
    routes: Iterable[Route], *, agents: Mapping[str, str], queues: Collection[str] | None, quarantine: bool, now: Moment
) -> list[Route]:
    """Choose the routes a worker can serve at this moment.

    Args:
        routes (Iterable[Route]): All routes of the store.
        agents (Mapping[str, str]): The worker's agents, name to code version.
        queues (Collection[str] | None): The queues it serves; None for all.
        quarantine (bool): Whether it is a quarantine process, which serves nothing else.
        now (Moment): The store's time.

    Returns:
        list[Route]: What to pass to `MessageStore.lease`.
    """
    return [
        route
        for route in routes
        if route.quarantine == quarantine
        and not route.paused
        and (queues is None or route.queue in queues)
        and route.agent in agents
        and route.version in (None, agents[route.agent])
        and (route.lane_closed_until is None or route.lane_closed_until <= now)
    ]


def blocked_by(route: Route, *, known: Collection[tuple[str, str]], all_paused: bool, now: Moment) -> str | None:
    """Say why nothing of a route can start now.

    Args:
        route (Route): The route.
        known (Collection[tuple[str, str]]): (agent, version) of all living workers.
        all_paused (bool): Whether everything is paused.
        now (Moment): The store's time.

    Returns:
        str | None: `all-paused`, `queue-paused`, `no-worker`, `lane-closed`, or None when it can start.
    """
    if all_paused:
        return "all-paused"
    if route.paused:
        return "queue-paused"
    if not any(agent == route.agent and route.version in (None, version) for agent, version in known):
        return "no-worker"
    if route.lane_closed_until is not None and route.lane_closed_until > now:
        return "lane-closed"
    return None


def waits_for_its_lane(wait: Wait) -> bool:
    """Tell whether a message that is parked until a moment may go on once its lane is open.

    Args:
        wait (Wait): What it waits for.

    Returns:
        bool: True for a provider's limits, an open circuit and an account that needs a person; not for a sleep or a budget.
    """
    return wait.error is not None and wait.error.category in _OF_LANES
