"""What people and programs do to a store through a server, all of it, as one life.

It may be cut off anywhere, and is then lived once more from its beginning, as somebody would who got no answer. What has a key
happens once; what has none may have happened twice.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from perdure.agents.journal import Decision
from perdure.agents.runs import Brought, Fork
from perdure.errors.base import Conflict, NotFound
from perdure.messages.dead_letters import Edit
from perdure.messages.groups import NewGroup
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import URGENT, MessageId, NewMessage
from perdure.messages.retention import Keep
from perdure.messages.schedules import NewSchedule
from perdure.security.audit import Actor
from perdure.security.keys import digest, make_key
from perdure.stores.store import Store

__all__ = ["PUT", "operate"]

PUT = 3
WHO = Actor(who="key_test")


async def operate(store: Store, folder: str, given: dict[str, int]) -> None:
    """Do everything.

    Args:
        store (Store): To this.
        folder (str): Where what is put leaves its trace.
        given (dict[str, int]): Messages it finds, by what is to be done to them.
    """
    body = json.dumps({"folder": folder}).encode()
    found = {name: MessageId(number) for name, number in given.items()}
    await store.messages.put([_part(body, dedup_key=f"put-{n}") for n in range(PUT)])
    join = NewGroup(then=NewMessage(agent="join", queue="orders", body=b"null"))
    await store.messages.put([_part(body, dedup_key=f"member-{n}") for n in range(2)], group=join)
    await _unless_it_was(store.messages.signal(found["signal"], "never", b'"now"', key="once"))
    await _unless_it_was(store.messages.cancel(found["cancel"], by=WHO))
    await _unless_it_was(store.messages.revive(found["revive"], by=WHO))
    await _unless_it_was(store.dead_letters.edit(found["edit"], Edit(priority=URGENT), by=WHO))
    await _unless_it_was(store.messages.revive(found["edit"], by=WHO))
    await _unless_it_was(store.dead_letters.discard(found["discard"], by=WHO))
    await _unless_it_was(store.journal.decide(found["decide"], 1, Decision.BURY, by="key_test"))
    await store.runs.fork(found["fork"], Fork(step=1), by=WHO)
    _, record = await store.runs.record(found["fork"])
    await store.runs.bring(Brought(message=_part(body), record=record), by=WHO)
    await store.schedules.add(NewSchedule(name="often", cron="* * * * *", message=_part(body)), replace=True, by=WHO)
    await store.schedules.run("often", by=WHO)
    await store.schedules.fire()
    await store.schedules.remove("often", by=WHO)
    await store.messages.pause("orders", by=WHO)
    await store.messages.set_limit(Limit(scope=Scope.AGENT, name="part", at_once=1))
    await store.messages.drop_limit(Scope.AGENT, "part")
    await store.messages.resume("orders", by=WHO)
    key, secret = make_key("of a test", tenant="default", scopes=["*"], now=0.0)
    await store.keys.add(key, digest(secret), by=WHO)
    await store.keys.revoke(key.id, by=WHO)
    await store.retention.tidy(Keep())


def _part(body: bytes, **fields: Any) -> NewMessage:
    return NewMessage(agent="part", queue="orders", body=body, **fields)


async def _unless_it_was(done: Awaitable[object]) -> None:
    """Who does it once more is told that it cannot be done, or that nothing is there to do it to."""
    with suppress(Conflict, NotFound):
        await done
