"""Queues, lanes and routes, in memory: what may start now, and what stands against the rest."""

from __future__ import annotations

from collections import Counter

from perdure.clock import Moment
from perdure.messages.message import State
from perdure.messages.routes import Route, blocked_by
from perdure.messages.store import QueueStatus
from perdure.stores.inmemory.contents import Contents
from perdure.stores.inmemory.rows import RouteKey

__all__ = ["may_start", "obstacle", "queue_statuses", "route_of", "routes"]


def route_of(contents: Contents, key: RouteKey) -> Route:
    """Describe a route with what stands against it now.

    Args:
        contents (Contents): What the store keeps.
        key (RouteKey): Which.

    Returns:
        Route: As workers see it.
    """
    queue, agent, version, lane, quarantine = key
    closed_until, why = (None, None) if lane is None else contents.lanes.get(lane, (None, None))
    return Route(
        id=contents.routes[key].id,
        queue=queue,
        agent=agent,
        version=version,
        lane=lane,
        quarantine=quarantine,
        paused=contents.all_paused or queue in contents.paused_queues,
        lane_closed_until=closed_until,
        lane_closed_why=why,
        occupied=quarantine and any(row.state in (State.READY, State.HELD) and row.route == key for row in contents.rows.values()),
    )


def routes(contents: Contents) -> list[Route]:
    """List every route there is.

    Args:
        contents (Contents): What the store keeps.

    Returns:
        list[Route]: In the order they came to be.
    """
    return [route_of(contents, key) for key in contents.routes]


def may_start(contents: Contents, key: RouteKey, now: Moment) -> bool:
    """Tell whether a route is open, whatever a worker may have read of it before.

    Args:
        contents (Contents): What the store keeps.
        key (RouteKey): Which.
        now (Moment): The store's time.

    Returns:
        bool: False where its queue or everything is paused, or its lane is closed.
    """
    route = route_of(contents, key)
    return not route.paused and (route.lane_closed_until is None or route.lane_closed_until <= now)


def obstacle(contents: Contents, key: RouteKey, now: Moment) -> str | None:
    """Say why nothing of a route can start now.

    Args:
        contents (Contents): What the store keeps.
        key (RouteKey): Which.
        now (Moment): The store's time.

    Returns:
        str | None: As in `View.blocked_by`.
    """
    route = route_of(contents, key)
    cards = [row.card for row in contents.workers.values() if row.ended_at is None]
    known = {
        (agent.name, agent.version)
        for card in cards
        if card.quarantine == route.quarantine and (card.queues is None or route.queue in card.queues)
        for agent in card.agents
    }
    reason = blocked_by(route, known=known, all_paused=contents.all_paused, now=now)
    return "quarantine" if reason == "no-worker" and route.quarantine else reason


def queue_statuses(contents: Contents) -> list[QueueStatus]:
    """Describe every queue that ever had a message or was paused.

    Args:
        contents (Contents): What the store keeps.

    Returns:
        list[QueueStatus]: By name. Counted here; other stores keep these numbers.
    """
    names = {row.message.queue for row in contents.rows.values()} | contents.paused_queues | {key[0] for key in contents.routes}
    return [_status(contents, name) for name in sorted(names)]


def _status(contents: Contents, name: str) -> QueueStatus:
    rows = [row for row in contents.rows.values() if row.message.queue == name]
    return QueueStatus(
        name=name,
        paused=name in contents.paused_queues,
        pause=contents.pauses.get(name),
        counts=Counter(row.state.value for row in rows),
        totals={total: count for (queue, total), count in contents.totals.items() if queue == name},
        oldest_ready_at=min((row.ready_since for row in rows if row.state is State.READY), default=None),
    )
