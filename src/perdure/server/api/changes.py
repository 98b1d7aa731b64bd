"""The change sequence: what happened to messages, in order."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.clock import awake
from perdure.messages.store import Change
from perdure.server.answer import Answer, json_answer
from perdure.server.asks import ChangesQuery
from perdure.server.door import Call, Door
from perdure.server.gone import while_there
from perdure.server.listings import ChangeJson, Changes

__all__ = ["DOORS"]


async def read(call: Call) -> Answer:
    """Read changes, perhaps after waiting for the first.

    Args:
        call (Call): With a `ChangesQuery`.

    Returns:
        Answer: 200 with changes in order, and from where to go on.
    """
    query: ChangesQuery = call.query
    after = await _newest(call) if query.after is None else query.after
    changes, last = await _after(call, after, query.limit)
    if not changes and query.wait > 0:
        found = await while_there(call.receive, _first(call, after, query))
        if found is None:
            return Answer(499)
        changes, last = found
    return json_answer(Changes(data=[ChangeJson.of(change) for change in changes], last=last))


async def _first(call: Call, after: int, query: ChangesQuery) -> tuple[Sequence[Change], int]:
    until = awake() + query.wait
    async with call.core.feed.listen(lambda change: change.seq > after and call.tenant in (None, change.tenant)) as listener:
        changes, last = await _after(call, after, query.limit)
        while not changes and not listener.closing and (left := until - awake()) > 0:
            if await listener.next(left):
                changes, last = await _after(call, after, query.limit)
        return changes, last


async def _newest(call: Call) -> int:
    return await (call.core.store.messages.last_change() if call.tenant is None else call.core.own_changes.newest(call.tenant))


async def _after(call: Call, after: int, limit: int) -> tuple[Sequence[Change], int]:
    if call.tenant is not None:
        return await call.core.own_changes.after(after, tenant=call.tenant, limit=limit)
    messages = call.core.store.messages
    newest = await messages.last_change()  # asked before: whatever is not newer is seen by the reading
    changes = await messages.changes(after, limit=limit)
    if len(changes) == limit:
        return changes, changes[-1].seq
    return changes, max(after, newest, changes[-1].seq if changes else 0)


DOORS = (
    Door(
        "GET", "/api/v1/changes", read, "read_changes", "Follow what happens to messages; with `wait`, wait for the first.", "Changes",
        "changes:read", query=ChangesQuery, answers={200: Changes},
    ),
)  # fmt: skip
