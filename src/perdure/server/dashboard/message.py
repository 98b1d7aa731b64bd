"""`/messages/{id}`: one message, what its run did, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.agents.journal import Step
from perdure.messages import ids
from perdure.messages.message import ENDS, State, View
from perdure.resources.usage import Usage
from perdure.server.answer import Answer
from perdure.server.dashboard.timeline import WIDTH, bars
from perdure.server.dashboard.visit import Visit

_SHOWN_BYTES = 8 * 1024 * 1024
"""A page ends early when its steps are larger: each request says the whole conversation again."""

__all__ = ["message"]


async def message(visit: Visit) -> Answer:
    """Show the page.

    Args:
        visit (Visit): Who looks.

    Returns:
        Answer: The whole page.
    """
    store = visit.core.store
    view = await store.messages.get(ids.read(visit.path["id"]), tenant=visit.tenant)
    steps = await store.journal.steps(view.message.id, most_bytes=_SHOWN_BYTES) if visit.may("steps:read") else ()
    now = visit.core.clock.now()
    # What a stopped run left open is not drawn as if it still went on.
    drawn_until = now if view.state is State.LEASED else max((step.ended_at or step.began_at for step in steps), default=now)
    return visit.renderer.page(
        "message",
        visit=visit,
        now=now,
        view=view,
        bars=bars(steps, now=drawn_until),
        width=WIDTH,
        asked=await _asked(visit, view) if visit.may("steps:decide") else None,
        attempts=await store.messages.attempts(view.message.id),
        usage=view.usage or _summed(steps),
        can_cancel=visit.may("messages:write") and view.state not in ENDS and not view.cancelling,
        signals=_signals(view) if visit.may("messages:write") else [],
        can_revive=visit.may("dead-letters:write") and view.state is State.DEAD,
        sees_steps=visit.may("steps:read"),
    )


def _signals(view: View) -> list[str]:
    """Name the signals that a message waits for now."""
    return [] if view.wait is None else [event.removeprefix("signal:") for event in view.wait.events if event.startswith("signal:")]


async def _asked(visit: Visit, view: View) -> Step | None:
    """Find the step that waits for a person's word."""
    if view.wait is None or view.wait.why != "outcome-unknown" or view.wait.step is None or view.state is not State.WAITING:
        return None
    found = await visit.core.store.journal.steps(view.message.id, after=view.wait.step - 1, most_bytes=1)
    return next((step for step in found if step.number == view.wait.step), None)


def _summed(steps: Sequence[Step]) -> Usage | None:
    found = [step.usage for step in steps if step.usage is not None and step.origin is None]
    return sum(found[1:], found[0]) if found else None
