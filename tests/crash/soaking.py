"""A worker and a sender in one process at half of what they can do, which says each second how it is.

python soaking.py DATA SECONDS [URL]
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

from perdure import App, Run, agent
from perdure.app import open_store
from perdure.config.settings import Settings
from perdure.messages.message import NewMessage
from perdure.messages.retention import Keep
from perdure.providers.models import Models
from perdure.stores.store import Store
from perdure.testing import FakeProvider
from perdure.worker.worker import Worker

FULL_S = 5.0
KEEP = Keep(done_s=2.0, cancelled_s=2.0, dead_s=2.0, journals_s=1.0, audit_s=1.0, changes_s=5.0)
BATCH = 20
"""So many are put at a time, each with a memory of its own."""
MOST_AHEAD = 2000
took_s: list[float] = []


@agent(queue="soak", version="1")
async def answer(run: Run) -> float:
    """Does a step, remembers one thing, and says how long its message was under way."""
    await run.step("think", lambda: "x" * 200, idempotent=True)
    await run.memory.store(f"last-{run.body['n']}", run.id)
    took_s.append(time.time() - run.body["at"])
    return took_s[-1]


async def put(store: Store) -> None:
    bodies = [{"at": time.time(), "n": n, "filler": "x" * 500} for n in range(BATCH)]
    await store.messages.put([NewMessage(agent="answer", queue="soak", body=json.dumps(body).encode()) for body in bodies])


async def full_load(store: Store) -> float:
    """How many messages a second there are at most."""
    ahead, until = 0, time.monotonic() + FULL_S
    while time.monotonic() < until:
        while ahead - len(took_s) < 200:
            await put(store)
            ahead += BATCH
        await asyncio.sleep(0.001)
    rate = len(took_s) / FULL_S
    while len(took_s) < ahead:
        await asyncio.sleep(0.01)
    return rate


async def load(store: Store, rate: float) -> None:
    """Put at an even rate, and less only where what was put before is not done."""
    due, done = time.monotonic(), len(took_s)
    sent = 0
    while True:
        due = max(due + BATCH / rate, time.monotonic() - 1.0)
        await asyncio.sleep(due - time.monotonic())
        if sent - (len(took_s) - done) < MOST_AHEAD:
            await put(store)
            sent += BATCH


def size_of(data: Path, url: str | None) -> Callable[[], int]:
    if url is None:
        return lambda: sum(file.stat().st_size for file in data.glob("perdure.db*"))
    database = psycopg.connect(url, autocommit=True)

    def asked() -> int:
        row: Any = database.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0])

    return asked


async def watch(seconds: float, size: Callable[[], int]) -> None:
    me = psutil.Process(os.getpid())
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        seen = len(took_s)
        await asyncio.sleep(1.0)
        new = sorted(took_s[seen:])
        late_s = new[len(new) // 2] if new else None
        print(json.dumps({"rss": me.memory_info().rss, "size": size(), "late_s": late_s, "done": len(new)}), flush=True)


async def main(data: str, seconds: str, url: str | None = None) -> None:
    settings = Settings.model_validate({"data": data, "store": {"url": url, "synchronous": "normal"} if url else {"synchronous": "normal"}})
    async with open_store(settings) as store:
        worker = Worker(store, App([answer]), Models({"up": FakeProvider("up")}, default="up/fake-1"), slots=50, keep=KEEP)
        stop = asyncio.Event()
        life: Awaitable[Any] = asyncio.create_task(worker.run(stop))
        await worker.ready.wait()
        sender = asyncio.create_task(load(store, await full_load(store) / 2))
        await watch(float(seconds), size_of(Path(data), url))
        sender.cancel()
        stop.set()
        await life


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
