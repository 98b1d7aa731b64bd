"""Schedules: put, look, pause, resume, run now, remove."""

from __future__ import annotations

import re

from perdure.errors.base import InvalidInput
from perdure.messages.calendar import Misfire
from perdure.messages.schedules import NewSchedule, Overlap, Schedule
from perdure.security.access import OPERATOR
from perdure.server.answer import Answer, json_answer
from perdure.server.asks import PutMessage
from perdure.server.door import Call, Door
from perdure.server.listings import Listing, ReceiptJson
from perdure.server.orders import PutSchedule, ScheduleQuery, SchedulesQuery
from perdure.server.reports import DiscardedJson, ScheduleJson

_PART = "Schedules"
_SHOWN = 5
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,127}")

__all__ = ["DOORS"]


async def list_schedules(call: Call) -> Answer:
    """List schedules.

    Args:
        call (Call): With a `SchedulesQuery`.

    Returns:
        Answer: 200 with a list, by name.
    """
    found = await call.core.store.schedules.list(tenant=call.tenant or call.query.tenant)
    return json_answer(Listing(data=[_json(call, kept) for kept in found]))


async def add(call: Call) -> Answer:
    """Keep a new schedule.

    Args:
        call (Call): With a `PutSchedule`.

    Returns:
        Answer: 201 with the schedule.
    """
    ask: PutSchedule = call.body
    if ask.name is None:
        raise InvalidInput("name: it is missing", problems=["name: it is missing"])
    return json_answer(_json(call, await call.core.store.schedules.add(await _new(call, ask, ask.name), by=call.actor), _SHOWN), 201)


async def replace(call: Call) -> Answer:
    """Keep a schedule, new or in the place of the one with its name.

    Args:
        call (Call): With a `PutSchedule`.

    Returns:
        Answer: 200 with the schedule.
    """
    ask: PutSchedule = call.body
    name = call.path["name"]
    if ask.name not in (None, name):
        raise InvalidInput(f"name: {ask.name!r} is not the name in the address", problems=["name: not the name in the address"])
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"name: {name[:60]!r} is no name", problems=["name: letters, digits and `_ . : -` only"])
    return json_answer(_json(call, await call.core.store.schedules.add(await _new(call, ask, name), replace=True, by=call.actor), _SHOWN))


async def show(call: Call) -> Answer:
    """Show a schedule and its next moments.

    Args:
        call (Call): With a `ScheduleQuery`.

    Returns:
        Answer: 200 with the schedule.
    """
    return json_answer(_json(call, await call.core.store.schedules.get(call.path["name"], tenant=_tenant(call)), call.query.next))


async def pause(call: Call) -> Answer:
    """Let a schedule fire no more until it is resumed.

    Args:
        call (Call): For the schedule in its path.

    Returns:
        Answer: 200 with the schedule.
    """
    return json_answer(_json(call, await call.core.store.schedules.pause(call.path["name"], tenant=_tenant(call), by=call.actor)))


async def resume(call: Call) -> Answer:
    """Let a schedule fire again.

    Args:
        call (Call): For the schedule in its path.

    Returns:
        Answer: 200 with the schedule.
    """
    return json_answer(_json(call, await call.core.store.schedules.resume(call.path["name"], tenant=_tenant(call), by=call.actor)))


async def run(call: Call) -> Answer:
    """Put a schedule's message now.

    Args:
        call (Call): For the schedule in its path.

    Returns:
        Answer: 202 with a receipt.
    """
    receipt = ReceiptJson.of(await call.core.store.schedules.run(call.path["name"], tenant=_tenant(call), by=call.actor))
    return json_answer(receipt, 202, headers=(("location", f"/api/v1/messages/{receipt.id}"),))


async def remove(call: Call) -> Answer:
    """Forget a schedule.

    Args:
        call (Call): For the schedule in its path.

    Returns:
        Answer: 200.
    """
    await call.core.store.schedules.remove(call.path["name"], tenant=_tenant(call), by=call.actor)
    return json_answer(DiscardedJson(id=call.path["name"]))


async def _new(call: Call, ask: PutSchedule, name: str) -> NewSchedule:
    asked = PutMessage(
        agent=ask.agent,
        body=ask.body,
        queue=ask.queue,
        priority=ask.priority,
        attempts=ask.attempts,
        timeout_s=ask.timeout_s,
        max_wait_s=ask.max_wait_s,
        version=ask.version,
        metadata=ask.metadata,
        tenant=ask.tenant,
    )
    [message] = await call.core.admission.admit([asked], key=call.key)
    misfire, overlap = Misfire(ask.misfire), Overlap(ask.overlap)
    return NewSchedule(name=name, cron=ask.cron, timezone=ask.timezone, message=message, misfire=misfire, overlap=overlap)


def _json(call: Call, kept: Schedule, upcoming: int = 0) -> ScheduleJson:
    return ScheduleJson.of(kept, now=call.core.clock.now(), upcoming=upcoming)


def _tenant(call: Call) -> str:
    if call.key.tenant != OPERATOR:
        return call.key.tenant
    return call.query.tenant or "default"


DOORS = (
    Door("GET", "/api/v1/schedules", list_schedules, "list_schedules", "List schedules, with when they fire next.", _PART,
         "schedules:read", query=SchedulesQuery, answers={200: Listing[ScheduleJson]}),
    Door("POST", "/api/v1/schedules", add, "add_schedule", "Keep a new schedule.", _PART, "schedules:write",
         bodies=(PutSchedule,), answers={201: ScheduleJson}, refusals=(404, 409)),
    Door("GET", "/api/v1/schedules/{name}", show, "get_schedule", "Show a schedule and its next moments.", _PART, "schedules:read",
         query=ScheduleQuery, answers={200: ScheduleJson}, refusals=(404,)),
    Door("PUT", "/api/v1/schedules/{name}", replace, "put_schedule", "Keep a schedule, new or in the place of the one there.", _PART,
         "schedules:write", bodies=(PutSchedule,), answers={200: ScheduleJson}, refusals=(404,)),
    Door("DELETE", "/api/v1/schedules/{name}", remove, "remove_schedule", "Forget a schedule; what it has put stays.", _PART,
         "schedules:write", query=SchedulesQuery, answers={200: DiscardedJson}, refusals=(404,)),
    Door("POST", "/api/v1/schedules/{name}/pause", pause, "pause_schedule", "Let a schedule fire no more.", _PART, "schedules:write",
         query=SchedulesQuery, answers={200: ScheduleJson}, refusals=(404,)),
    Door("POST", "/api/v1/schedules/{name}/resume", resume, "resume_schedule", "Let a schedule fire again.", _PART, "schedules:write",
         query=SchedulesQuery, answers={200: ScheduleJson}, refusals=(404,)),
    Door("POST", "/api/v1/schedules/{name}/run", run, "run_schedule", "Put a schedule's message now.", _PART, "schedules:write",
         query=SchedulesQuery, answers={202: ReceiptJson}, refusals=(404,)),
)  # fmt: skip
