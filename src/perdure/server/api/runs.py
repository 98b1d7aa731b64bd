"""Runs made of other runs: forks, exports, imports."""

from __future__ import annotations

import asyncio

import msgspec

from perdure.agents import portable
from perdure.agents.runfile import RunFile
from perdure.agents.runs import Brought, Fork
from perdure.errors.base import Forbidden, InvalidInput
from perdure.security.access import OPERATOR, allows
from perdure.security.audit import Actor
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import MessageJson
from perdure.server.asks import ForkRun, ImportQuery, PutMessage
from perdure.server.door import Call, Door

_PART = "Runs"

__all__ = ["DOORS"]


async def fork(call: Call) -> Answer:
    """Let a run go on anew from one of its steps, as another message.

    Args:
        call (Call): With a `ForkRun`.

    Returns:
        Answer: 202 with the new message.
    """
    said: ForkRun = call.body
    changes = Fork(step=said.from_step, priority=said.priority, version=said.version)
    if said.body is not msgspec.UNSET:
        changes = await _with_body(call, said, changes)
    view = await call.core.store.runs.fork(call.message_id, changes, tenant=call.tenant, by=_actor(call))
    message: MessageJson = MessageJson.of(view)
    return json_answer(message, 202, headers=(("location", f"/api/v1/messages/{message.id}"),))


async def export(call: Call) -> Answer:
    """Write a run down, so that it can be brought elsewhere.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with a `RunFile`.

    Raises:
        Forbidden: The key may not see messages.
    """
    if not allows(call.key.scopes, "messages:read"):
        raise Forbidden("an export shows the message too", hint="The key needs `messages:read` as well.")
    view, record = await call.core.store.runs.record(call.message_id, tenant=call.tenant)
    return json_answer(await asyncio.to_thread(portable.written, view, record))


async def import_run(call: Call) -> Answer:
    """Bring a run from elsewhere, as a new message.

    Args:
        call (Call): With a `RunFile`.

    Returns:
        Answer: 202 with the new message.
    """
    query: ImportQuery = call.query
    run = await asyncio.to_thread(portable.read, call.body, tenant=_tenant(call), start=query.start)
    if run.ended is None:
        run = await _admitted(call, run)
    message: MessageJson = MessageJson.of(await call.core.store.runs.bring(run, by=_actor(call)))
    return json_answer(message, 202, headers=(("location", f"/api/v1/messages/{message.id}"),))


async def _with_body(call: Call, said: ForkRun, changes: Fork) -> Fork:
    """Check another body as a put would."""
    original = (await call.core.store.messages.get(call.message_id, tenant=call.tenant)).message
    ask = PutMessage(agent=original.agent, body=said.body, tenant=original.tenant)
    [new] = await call.core.admission.admit([ask], key=call.key)
    return msgspec.structs.replace(changes, body=new.body, lane=new.lane)


async def _admitted(call: Call, run: Brought) -> Brought:
    """Check a message that is going to run here as a put would; its lane is what this installation makes of it."""
    put = run.message
    ask = PutMessage(agent=put.agent, body=msgspec.json.decode(put.body), tenant=put.tenant)
    [new] = await call.core.admission.admit([ask], key=call.key)
    return msgspec.structs.replace(run, message=msgspec.structs.replace(put, lane=new.lane))


def _tenant(call: Call) -> str:
    wanted: str | None = call.query.tenant
    if call.key.tenant == OPERATOR:
        return wanted or "default"
    if wanted not in (None, call.key.tenant):
        raise InvalidInput(f"tenant: key {call.key.id!r} brings runs of tenant {call.key.tenant!r} only", hint="Leave `tenant` out.")
    return call.key.tenant


def _actor(call: Call) -> Actor:
    return Actor(call.key.id, call.request_id)


DOORS = (
    Door(
        "POST", "/api/v1/messages/{id}/fork", fork, "fork", "Let a run go on anew from one of its steps, as another message.", _PART,
        "runs:fork", bodies=(ForkRun,), answers={202: MessageJson}, refusals=(404, 409),
    ),
    Door(
        "GET", "/api/v1/messages/{id}/export", export, "export_run", "Write a run down, without secrets, to be brought elsewhere.", _PART,
        "steps:read", answers={200: RunFile}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/messages/import", import_run, "import_run", "Bring a run that was exported, as a new message.", _PART,
        "runs:import", query=ImportQuery, bodies=(RunFile,), answers={202: MessageJson}, refusals=(404,),
    ),
)  # fmt: skip
