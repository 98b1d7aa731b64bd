"""What a person can do on the pages: each is a form, checked like a call of the API."""

from __future__ import annotations

import msgspec

from perdure.agents.journal import Decision
from perdure.errors.base import InvalidInput, NotFound
from perdure.messages import ids
from perdure.server.answer import Answer
from perdure.server.body import parse_json
from perdure.server.dashboard.visit import Visit, see_other

__all__ = ["cancel", "decide", "pause", "pause_all", "resume", "resume_all", "revive", "signal"]


async def pause(visit: Visit) -> Answer:
    """Stop leasing from a queue.

    Args:
        visit (Visit): An operator's, for the queue in its path.

    Returns:
        Answer: Back to where they were.
    """
    await visit.core.store.messages.pause(await _queue(visit), by=visit.actor)
    return _back(visit)


async def resume(visit: Visit) -> Answer:
    """Lift a queue's pause.

    Args:
        visit (Visit): An operator's, for the queue in its path.

    Returns:
        Answer: Back to where they were.
    """
    await visit.core.store.messages.resume(await _queue(visit), by=visit.actor)
    return _back(visit)


async def pause_all(visit: Visit) -> Answer:
    """Stop all leasing.

    Args:
        visit (Visit): An operator's.

    Returns:
        Answer: Back to where they were.
    """
    await visit.core.store.messages.pause(None, by=visit.actor)
    return _back(visit)


async def resume_all(visit: Visit) -> Answer:
    """Lift the pause of everything.

    Args:
        visit (Visit): An operator's.

    Returns:
        Answer: Back to where they were.
    """
    await visit.core.store.messages.resume(None, by=visit.actor)
    return _back(visit)


async def cancel(visit: Visit) -> Answer:
    """Call a message off.

    Args:
        visit (Visit): For the message in its path.

    Returns:
        Answer: Back to its page.
    """
    await visit.core.store.messages.cancel(ids.read(visit.path["id"]), tenant=visit.tenant, by=visit.actor)
    return _back(visit)


async def signal(visit: Visit) -> Answer:
    """Tell a message what it waits for.

    Args:
        visit (Visit): For the message in its path, with `name` and `data` (JSON; empty stands for null).

    Returns:
        Answer: Back to its page.
    """
    data = _json(visit, visit.form.get("data", "").strip() or "null")
    await visit.core.store.messages.signal(ids.read(visit.path["id"]), visit.form.get("name", ""), data, tenant=visit.tenant)
    return _back(visit)


async def revive(visit: Visit) -> Answer:
    """Give a dead letter another life.

    Args:
        visit (Visit): For the message in its path.

    Returns:
        Answer: Back to its page.
    """
    await visit.core.store.messages.revive(ids.read(visit.path["id"]), tenant=visit.tenant, by=visit.actor)
    return _back(visit)


async def decide(visit: Visit) -> Answer:
    """Take a person's word for what became of a step.

    Args:
        visit (Visit): For the step in its path.

    Returns:
        Answer: Back to its message's page.
    """
    number, said = visit.path["number"], visit.form.get("decision", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound(f"{number[:40]!r} is no step")
    if said not in list(Decision):
        raise InvalidInput(f"{said[:40]!r} is no decision", hint="It is one of happened, run-again and bury.")
    decision = Decision(said)
    written = visit.form.get("result", "").strip()
    result = None
    if decision is Decision.HAPPENED and written:
        result = _json(visit, written)
    await visit.core.store.journal.decide(
        ids.read(visit.path["id"]), int(number), decision, by=visit.key.id, result=result, tenant=visit.tenant
    )
    return _back(visit)


def _json(visit: Visit, written: str) -> bytes:
    return msgspec.json.encode(parse_json(written.encode("utf-8", "surrogatepass"), max_depth=visit.core.settings.max_depth))


async def _queue(visit: Visit) -> str:
    name = visit.path["name"]
    if name not in [queue.name for queue in await visit.core.store.messages.queues()]:
        raise NotFound(f"there is no queue {name[:60]!r}")
    return name


def _back(visit: Visit) -> Answer:
    return see_other(visit.form.get("back", "/"))
