"""Queues: numbers, pause and resume; and the pause of everything, which is a brake on spending."""

from __future__ import annotations

import re

from perdure.errors.base import NotFound
from perdure.server.answer import Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.listings import Listing, PausedJson, QueueJson
from perdure.server.orders import PauseAsk
from perdure.server.reports import PauseJson

_PART = "Queues"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")

__all__ = ["DOORS"]


async def list_queues(call: Call) -> Answer:
    """List queues in numbers.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200 with a list, by name.
    """
    return json_answer(Listing(data=[QueueJson.of(queue) for queue in await call.core.store.messages.queues()]))


async def pause(call: Call) -> Answer:
    """Stop leasing from a queue.

    Args:
        call (Call): For the queue in its path.

    Returns:
        Answer: 200 with the queue as it is now.
    """
    name = _name(call)
    await call.core.store.messages.pause(name, why=_why(call), by=call.actor)
    return await _shown(call, name)


async def resume(call: Call) -> Answer:
    """Lift a queue's pause.

    Args:
        call (Call): For the queue in its path.

    Returns:
        Answer: 200 with the queue as it is now.
    """
    name = _name(call)
    if name not in [queue.name for queue in await call.core.store.messages.queues()]:
        raise _unknown(name)
    await call.core.store.messages.resume(name, by=call.actor)
    return await _shown(call, name)


async def pause_all(call: Call) -> Answer:
    """Stop all leasing at once.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200.
    """
    await call.core.store.messages.pause(None, why=_why(call), by=call.actor)
    return json_answer(await _everything(call))


async def show_pause(call: Call) -> Answer:
    """Tell whether everything is paused.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200.
    """
    return json_answer(await _everything(call))


async def resume_all(call: Call) -> Answer:
    """Lift the pause of everything; single queues stay paused.

    Args:
        call (Call): From an operator.

    Returns:
        Answer: 200.
    """
    await call.core.store.messages.resume(None, by=call.actor)
    return json_answer(await _everything(call))


async def _everything(call: Call) -> PausedJson:
    messages = call.core.store.messages
    return PausedJson(paused=await messages.paused(), pause=PauseJson.of(await messages.pause_of_all()))


def _why(call: Call) -> str | None:
    ask: PauseAsk | None = call.body
    return None if ask is None else ask.why


def _name(call: Call) -> str:
    name = call.path["name"]
    if not _NAME.fullmatch(name):
        raise _unknown(name)
    return name


async def _shown(call: Call, name: str) -> Answer:
    found = [queue for queue in await call.core.store.messages.queues() if queue.name == name]
    if not found:  # a resumed queue that never had a message is nothing any more
        return json_answer(QueueJson(name=name, paused=False, counts={}, totals={}, oldest_ready_at=None, pause=None))
    return json_answer(QueueJson.of(found[0]))


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no queue {name[:60]!r}", hint="Queues that ever had a message are at GET /api/v1/queues.")


DOORS = (
    Door(
        "GET", "/api/v1/queues", list_queues, "list_queues", "List queues in numbers.", _PART, "queues:read", operator=True,
        answers={200: Listing[QueueJson]},
    ),
    Door(
        "POST", "/api/v1/queues/{name}/pause", pause, "pause_queue", "Stop leasing from a queue; what runs goes on.", _PART,
        "queues:write", operator=True, bodies=(PauseAsk,), optional=True, answers={200: QueueJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/queues/{name}/resume", resume, "resume_queue", "Lift a queue's pause.", _PART,
        "queues:write", operator=True, answers={200: QueueJson}, refusals=(404,),
    ),
    Door(
        "GET", "/api/v1/pause", show_pause, "get_pause", "Tell whether everything is paused, by whom and why.", _PART, "queues:read",
        operator=True, answers={200: PausedJson},
    ),
    Door(
        "POST", "/api/v1/pause", pause_all, "pause_all", "Stop all leasing at once.", _PART, "queues:write", operator=True,
        bodies=(PauseAsk,), optional=True, answers={200: PausedJson},
    ),
    Door(
        "POST", "/api/v1/resume", resume_all, "resume_all", "Lift the pause of everything; paused queues stay paused.", _PART,
        "queues:write", operator=True, answers={200: PausedJson},
    ),
)  # fmt: skip
