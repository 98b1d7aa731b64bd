"""`/schedules`: what is put by a calendar, and when next."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.messages.schedules import Schedule
from perdure.server.answer import Answer
from perdure.server.dashboard.visit import Visit, see_other

__all__ = ["pause_schedule", "resume_schedule", "run_schedule", "schedules"]


async def schedules(visit: Visit) -> Answer:
    """Show the page.

    Args:
        visit (Visit): Who looks.

    Returns:
        Answer: The whole page.
    """
    found = await visit.core.store.schedules.list(tenant=visit.tenant)
    return visit.renderer.page("schedules", visit=visit, now=visit.core.clock.now(), schedules=found)


async def pause_schedule(visit: Visit) -> Answer:
    """Let a schedule fire no more.

    Args:
        visit (Visit): For the schedule in its path.

    Returns:
        Answer: Back to the page.
    """
    kept = await _named(visit)
    await visit.core.store.schedules.pause(kept.name, tenant=kept.message.tenant, by=visit.actor)
    return see_other("/schedules")


async def resume_schedule(visit: Visit) -> Answer:
    """Let a schedule fire again.

    Args:
        visit (Visit): For the schedule in its path.

    Returns:
        Answer: Back to the page.
    """
    kept = await _named(visit)
    await visit.core.store.schedules.resume(kept.name, tenant=kept.message.tenant, by=visit.actor)
    return see_other("/schedules")


async def run_schedule(visit: Visit) -> Answer:
    """Put a schedule's message now.

    Args:
        visit (Visit): For the schedule in its path.

    Returns:
        Answer: Back to the page.
    """
    kept = await _named(visit)
    await visit.core.store.schedules.run(kept.name, tenant=kept.message.tenant, by=visit.actor)
    return see_other("/schedules")


async def _named(visit: Visit) -> Schedule:
    tenant, name = visit.path["tenant"], visit.path["name"]
    if visit.tenant not in (None, tenant):
        raise NotFound(f"there is no schedule {name[:100]!r}")
    return await visit.core.store.schedules.get(name, tenant=tenant)
