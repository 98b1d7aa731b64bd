"""A worker without a heartbeat, which will be frozen: when it goes on, it tries every write there is.

Run as `python frozen.py DATA [URL]`. It says `ready` once it holds three messages and has begun
their steps, waits for a line, and then says as JSON what became of each write.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

from perdure.agents.journal import Intent, MemoryWrite, StepKey, StepKind
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.errors.base import AgentFailed, PerdureError
from perdure.messages.message import Lease, Wait
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.store import Store


def intent(number: int, kind: StepKind = StepKind.LLM) -> Intent:
    return Intent(number=number, key=StepKey("", kind, f"step {number}", "0" * 64, 0))


def writes(store: Store, lease: Lease) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every call that a worker can make with a lease."""
    messages, journal, facts = store.messages, store.journal, AgentFailed("late").facts()
    value = MemoryWrite(space="slow", key="who", value=b'"frozen"')
    return {
        "record": lambda: journal.record(lease, 1, b'"late"', memory=value),
        "fail": lambda: journal.fail(lease, 1, facts),
        "defer": lambda: journal.defer(lease, 1, facts),
        "intend": lambda: journal.intend(lease, intent(2)),
        "settle with memory": lambda: journal.settle(lease, intent(3, StepKind.MEMORY), b"null", memory=value),
        "done": lambda: messages.done(lease, b'"late"'),
        "retry": lambda: messages.retry(lease, facts, at=time.time()),
        "bury": lambda: messages.bury(lease, facts),
        "park": lambda: messages.park(lease, Wait(why="sleep", until=time.time())),
        "release": lambda: messages.release(lease),
    }


async def outcome(write: Callable[[], Awaitable[object]]) -> str:
    try:
        await write()
    except PerdureError as error:
        return error.code
    return "written"


async def main(data: str, url: str | None = None) -> None:
    async with open_store(Settings.model_validate({"data": data, "store": {"url": url} if url else {}})) as store:
        card = WorkerCard(host="here", pid=os.getpid(), slots=3, agents=[AgentCard(name="slow", version="1")])
        worker = await store.workers.register(card)
        heart = store.workers.heart(worker)
        heart.beat()
        leases = await store.messages.lease(await store.messages.routes(), limit=3, worker=worker)
        for lease in leases:
            await store.journal.intend(lease, intent(1))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        said = {f"{name} {n}": await outcome(write) for n, lease in enumerate(leases) for name, write in writes(store, lease).items()}
        more = await store.messages.routes()
        said["lease"] = await outcome(lambda: store.messages.lease(more, limit=1, worker=worker))
        said["beat"] = "written"
        try:
            heart.beat()
        except PerdureError as error:
            said["beat"] = error.code
        heart.close()
        print(json.dumps(said), flush=True)


asyncio.run(main(*sys.argv[1:]))
