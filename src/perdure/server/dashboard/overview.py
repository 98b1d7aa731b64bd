"""`/`: queues in numbers, and the latest messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from perdure.messages.message import State
from perdure.messages.store import Filter, QueueStatus
from perdure.server.answer import Answer
from perdure.server.dashboard.visit import Visit

_PAGE = 50
TABS = (None, *(state.value for state in State))

__all__ = ["overview"]


async def overview(visit: Visit) -> Answer:
    """Show the page.

    Args:
        visit (Visit): Who looks.

    Returns:
        Answer: The whole page; its script asks for it again whenever something changed.
    """
    messages, query = visit.core.store.messages, visit.query
    state = query.get("state") if query.get("state") in TABS else None
    wanted = Filter(
        tenant=visit.tenant, state=State(state) if state else None, queue=query.get("queue") or None, agent=query.get("agent") or None
    )
    page = await messages.list(wanted, limit=_PAGE, cursor=query.get("cursor") or None)
    return visit.renderer.page(
        "overview",
        visit=visit,
        now=visit.core.clock.now(),
        views=page.views,
        older=_address(wanted, cursor=page.cursor) if page.cursor else None,
        wanted=wanted,
        tabs=[(tab or "all", _address(wanted, state=tab), tab == state) for tab in TABS],
        filtered=bool(wanted.queue or wanted.agent),
        cursor=query.get("cursor"),
        **await _whole(visit),
    )


async def _whole(visit: Visit) -> Mapping[str, Any]:
    """What concerns all tenants: for operators alone."""
    if not visit.may("queues:read"):
        return {"queues": None, "counts": None, "paused": False, "pause": None, "workers": None, "slots": 0}
    messages = visit.core.store.messages
    queues = await messages.queues()
    living = [worker for worker in await visit.core.store.workers.workers() if worker.alive] if visit.may("workers:read") else []
    return {
        "queues": queues,
        "counts": _summed(queues),
        "paused": await messages.paused(),
        "pause": await messages.pause_of_all(),
        "workers": len(living) if visit.may("workers:read") else None,
        "slots": sum(worker.card.slots for worker in living),
    }


def _summed(queues: Sequence[QueueStatus]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for queue in queues:
        counts.update(queue.counts)
    return counts


def _address(wanted: Filter, *, state: str | None = None, cursor: str | None = None) -> str:
    said = {
        "state": (wanted.state.value if wanted.state else None) if cursor else state,
        "queue": wanted.queue,
        "agent": wanted.agent,
        "cursor": cursor,
    }
    kept = {name: value for name, value in said.items() if value}
    return f"/?{urlencode(kept)}" if kept else "/"
