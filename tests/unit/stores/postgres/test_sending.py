from __future__ import annotations

import asyncio

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import LeaseError
from perdure.messages.message import ENDS, NewMessage
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.messages.store import Filter
from perdure.stores.postgres.store import PostgresStore

RACES = 25


async def test_who_is_called_off_while_it_sends_leaves_nothing_behind(postgres_url: str) -> None:
    send = Intent(number=1, key=StepKey("", StepKind.SEND, "any", "0" * 64, 0))
    async with PostgresStore(postgres_url) as store:
        worker = await store.workers.register(WorkerCard(host="here", pid=1, slots=RACES, agents=[AgentCard(name="any", version="1")]))
        await store.messages.put([NewMessage(agent="any", body=b"null")] * RACES)
        leases = await store.messages.lease(await store.messages.routes(), limit=RACES, worker=worker)
        for lease in leases:
            sent, _ = await asyncio.gather(
                store.journal.send(lease, send, [NewMessage(agent="any", body=b"1")], max_depth=9),
                store.messages.cancel(lease.message.id),
                return_exceptions=True,
            )
            assert not isinstance(sent, BaseException) or isinstance(sent, LeaseError), sent
        children = [view for view in (await store.messages.list(Filter(), limit=1000)).views if view.message.parent is not None]
        assert [view.state for view in children if view.state not in ENDS] == []
