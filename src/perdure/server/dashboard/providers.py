"""`/providers`: whether they can be used, as workers found them, and what their lanes may take and have taken."""

from __future__ import annotations

from perdure.server.answer import Answer
from perdure.server.dashboard.visit import Visit

__all__ = ["providers"]


async def providers(visit: Visit) -> Answer:
    """Show the page.

    Args:
        visit (Visit): Who looks.

    Returns:
        Answer: The whole page.
    """
    store = visit.core.store
    health = {one.provider: one for one in await store.health.all()}
    named = sorted(visit.core.models.providers) if visit.may("models:read") else []
    return visit.renderer.page(
        "providers",
        visit=visit,
        now=visit.core.clock.now(),
        providers=[(name, health.get(name)) for name in named],
        lanes=await store.lanes.lanes(),
    )
