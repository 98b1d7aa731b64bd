"""A program that puts, leases and ends messages as fast as it can, and says what it was told is done.

    python -m crash.writing DATABASE RUN_DIR LOG

Each line of LOG is one acknowledged call: `put` or `done`, the message's id, and how far the write-ahead log had come
when the answer was there: its generation and its length in bytes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from crash.wal import reached
from perdure.messages.message import NewMessage
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.sqlite.store import SqliteStore

BODY_BYTES = 6000
"""More than a page of the database: some of it lies on pages of its own."""


def body(number: int) -> bytes:
    return b'"%s"' % (b"%08d" % number * (BODY_BYTES // 8))


def result(id: int) -> bytes:
    return b'"result of %d"' % id


async def main(database: str, run_dir: str, log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    wal = Path(f"{database}-wal")

    def say(what: str, id: int) -> None:
        generation, length = reached(wal)
        os.write(out, f"{what} {id} {generation} {length}\n".encode())

    async with SqliteStore(database, synchronous="normal", run_dir=Path(run_dir)) as store:
        card = WorkerCard(host="here", pid=os.getpid(), slots=8, agents=[AgentCard(name="keep", version="1")])
        worker = await store.workers.register(card)
        number = 0
        while True:
            for receipt in await store.messages.put([NewMessage(agent="keep", body=body(number + n)) for n in range(3)]):
                say("put", receipt.id)
                number += 1
            for lease in await store.messages.lease(await store.messages.routes(), limit=2, worker=worker):
                await store.messages.done(lease, result(lease.message.id))
                say("done", lease.message.id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
