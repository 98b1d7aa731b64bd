"""What is done to many messages at once, by filter: in bites, each short, until the limit or a little time is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from perdure.clock import awake
from perdure.errors.base import Conflict, Forbidden, InvalidInput, NotFound
from perdure.messages import ids
from perdure.messages.dead_letters import BITE, Bite, DeadFilter, DiedOf, read_pace, write_pace
from perdure.messages.message import MessageId, State
from perdure.messages.store import Filter
from perdure.server.answer import Answer, json_answer
from perdure.server.api.edits import edit_of
from perdure.server.api.errors import letters_of
from perdure.server.door import Call, Door
from perdure.server.moments import moment_of
from perdure.server.orders import CancelMany, DiscardMany, EditMany, LettersWanted, ReviveMany
from perdure.server.patch import merged
from perdure.server.reports import BiteJson

_PART = "Many at once"
_ENOUGH_S, _BREATH_S = 2.0, 0.25
_SHOWN, _EDITED_AT_ONCE = 5, 50
_PROBLEMS = 5

__all__ = ["DOORS"]

_Step = Callable[[int, str | None], Awaitable[Bite]]


async def revive_many(call: Call) -> Answer:
    """Give the dead letters that fit another life.

    Args:
        call (Call): With a `ReviveMany`.

    Returns:
        Answer: 200 with what was done.
    """
    ask: ReviveMany = call.body
    wanted, letters = await _wanted(call, ask.filter), call.core.store.dead_letters

    async def step(limit: int, cursor: str | None) -> Bite:
        if ask.dry_run:
            return await letters.look(wanted, limit=limit, cursor=cursor)
        return await letters.revive(wanted, per_s=ask.per_s, limit=min(limit, BITE), cursor=cursor, by=call.actor)

    return json_answer(BiteJson.of(await _until(step, ask.limit, ask.cursor), dry_run=ask.dry_run))


async def discard_many(call: Call) -> Answer:
    """Forget the dead letters that fit.

    Args:
        call (Call): With a `DiscardMany`.

    Returns:
        Answer: 200 with what was done.
    """
    ask: DiscardMany = call.body
    wanted, letters = await _wanted(call, ask.filter), call.core.store.dead_letters

    async def step(limit: int, cursor: str | None) -> Bite:
        if ask.dry_run:
            return await letters.look(wanted, limit=limit, cursor=cursor)
        return await letters.discard_all(wanted, per_s=ask.per_s, limit=min(limit, BITE), cursor=cursor, by=call.actor)

    return json_answer(BiteJson.of(await _until(step, ask.limit, ask.cursor, _breath_s(ask)), dry_run=ask.dry_run))


async def edit_many(call: Call) -> Answer:
    """Change the dead letters that fit; one whose body would not do any more is left as it is.

    Args:
        call (Call): With an `EditMany`.

    Returns:
        Answer: 200 with what was done, and some of the reasons why not.
    """
    ask: EditMany = call.body
    wanted, letters = await _wanted(call, ask.filter), call.core.store.dead_letters
    problems: list[str] = []

    async def step(limit: int, cursor: str | None) -> Bite:
        if ask.dry_run:
            return await letters.look(wanted, limit=limit, cursor=cursor)
        now = call.core.clock.now()
        below, pace = read_pace(cursor, ask.per_s, now)
        room = min(limit, _EDITED_AT_ONCE) if pace is None else pace.room(now, min(limit, _EDITED_AT_ONCE))
        if pace is not None and not room:
            return Bite(due_at=pace.at(0), cursor=write_pace(below, pace))
        found = await letters.look(wanted, limit=room, cursor=cursor, shown=_EDITED_AT_ONCE)
        done = [one for one in found.sample if await _edited(call, ask, one, problems)]
        bite = Bite(done=len(done), refused=found.done - len(done), sample=done[:_SHOWN], cursor=found.cursor)
        if pace is None or found.cursor is None:
            return bite
        on = pace.after(found.done)
        return msgspec.structs.replace(bite, due_at=on.at(0), cursor=write_pace(read_pace(found.cursor, None, now)[0], on))

    bite = await _until(step, ask.limit, ask.cursor, _breath_s(ask))
    return json_answer(BiteJson.of(bite, dry_run=ask.dry_run, problems=problems[:_PROBLEMS]))


async def cancel_many(call: Call) -> Answer:
    """Call off the messages that fit and do not run.

    Args:
        call (Call): With a `CancelMany`.

    Returns:
        Answer: 200 with what was done.
    """
    ask: CancelMany = call.body
    wanted = Filter(tenant=call.tenant, state=State(ask.filter.state), queue=ask.filter.queue, agent=ask.filter.agent)
    messages = call.core.store.messages

    async def step(limit: int, cursor: str | None) -> Bite:
        page = await messages.list(wanted, limit=min(limit, BITE), cursor=cursor)
        found = [view.message.id for view in page.views]
        done = found if ask.dry_run else [one for one in found if await _cancelled(call, one)]
        if done and not ask.dry_run:
            named = msgspec.to_builtins(ask.filter)
            await call.core.store.audit.note(call.actor, "messages.cancel", "*", {"filter": named, "count": len(done)})
        return Bite(done=len(done), refused=len(found) - len(done), sample=done[:_SHOWN], cursor=page.cursor)

    return json_answer(BiteJson.of(await _until(step, ask.limit, ask.cursor), dry_run=ask.dry_run))


async def _until(step: _Step, limit: int, cursor: str | None, breath_s: float = 0.0) -> Bite:
    """One bite after the other, until there is nothing more, the limit is reached, or some time is used up.

    At a pace there is a breath between them, so that not every letter is a bite of its own.
    """
    done = refused = 0
    sample: list[MessageId] = []
    until = awake() + _ENOUGH_S
    while True:
        bite = await step(limit - done, cursor)
        done, refused, cursor = done + bite.done, refused + bite.refused, bite.cursor
        sample += bite.sample
        if cursor is None or done >= limit or awake() >= until:
            return Bite(done=done, refused=refused, sample=sample[:_SHOWN], due_at=bite.due_at, cursor=cursor)
        if breath_s:
            await asyncio.sleep(min(breath_s, max(0.0, until - awake())))


def _breath_s(ask: DiscardMany | EditMany) -> float:
    return 0.0 if ask.per_s is None or ask.dry_run else min(_BREATH_S, _EDITED_AT_ONCE / ask.per_s)


async def _edited(call: Call, ask: EditMany, id: MessageId, problems: list[str]) -> bool:
    store = call.core.store
    try:
        view = await store.messages.get(id, tenant=call.tenant)
        body = ask.body_patch
        if isinstance(body, dict):
            body = merged(msgspec.json.decode(view.message.body), body)
        await store.dead_letters.edit(id, await edit_of(call, view.message, ask, body), tenant=call.tenant, by=call.actor)
    except (InvalidInput, NotFound, Conflict) as error:
        problems.append(f"{ids.write(id)}: {error.message}")
        return False
    return True


async def _cancelled(call: Call, id: MessageId) -> bool:
    try:
        await call.core.store.messages.cancel(id, tenant=call.tenant)
    except (NotFound, Conflict):  # it has gone on meanwhile
        return False
    return True


async def _wanted(call: Call, said: LettersWanted) -> DeadFilter:
    if call.tenant is not None and said.tenant not in (None, call.tenant):
        raise Forbidden(f"key {call.key.id!r} sees dead letters of tenant {call.tenant!r} only", hint="Leave `tenant` out.")
    died_of = None if said.pattern is None else await _died_of(call, said.pattern, said.agent)
    return DeadFilter(
        tenant=call.tenant or said.tenant,
        queue=said.queue,
        agent=said.agent if died_of is None else died_of.agent,
        code=said.code,
        died_after=moment_of("filter.died_after", said.died_after),
        died_before=moment_of("filter.died_before", said.died_before),
        text=said.text,
        died_of=died_of,
    )


async def _died_of(call: Call, pattern: str, agent: str | None) -> DiedOf:
    if call.tenant is not None:
        raise Forbidden("patterns of errors are of all tenants, and for operators", hint="Say `code` and `text` instead.")
    found = await letters_of(call, pattern)
    if found is None:
        raise InvalidInput(f"no message dies of the pattern {pattern!r}", hint="Only of those whose `where` is `run`.")
    if agent not in (None, found.agent):
        raise InvalidInput(f"the pattern {pattern!r} is of the agent {found.agent!r}, not of {agent!r}", hint="Leave `agent` out.")
    return found


DOORS = (
    Door(
        "POST", "/api/v1/dead-letters/revive", revive_many, "revive_many", "Give the dead letters that fit another life.", _PART,
        "dead-letters:write", bodies=(ReviveMany,), answers={200: BiteJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/dead-letters/discard", discard_many, "discard_many", "Forget the dead letters that fit, journals and all.", _PART,
        "dead-letters:write", bodies=(DiscardMany,), answers={200: BiteJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/dead-letters/edit", edit_many, "edit_many", "Change the dead letters that fit.", _PART,
        "dead-letters:write", bodies=(EditMany,), answers={200: BiteJson}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/messages/cancel", cancel_many, "cancel_many", "Call off the messages that fit and do not run.", _PART,
        "messages:write", bodies=(CancelMany,), answers={200: BiteJson},
    ),
)  # fmt: skip
