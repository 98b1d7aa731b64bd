"""The doors over the store that people run: an id that was answered is on disk."""

from __future__ import annotations

import asyncio

import pytest

from perdure.stores.sqlite.store import SqliteStore


@pytest.fixture
def file(tmp_path):
    return tmp_path / "perdure.db"


async def test_what_was_accepted_is_there_after_the_server_is_gone(serve, running, file):
    async with running(store=SqliteStore(file)) as served:
        [first, *_] = [await served.put("echo", n) for n in range(5)]
    async with running(store=SqliteStore(file)) as again:
        rows = (await again.get("/api/v1/messages")).json["data"]
        assert sorted(row["body"] for row in rows) == [0, 1, 2, 3, 4]
        assert first in [row["id"] for row in rows]


async def test_a_waiting_caller_is_told_by_a_worker_on_its_own_connection(serve, file):
    served = await serve(store=SqliteStore(file))
    async with SqliteStore(file) as other:
        sent = await served.put()
        waiting = asyncio.create_task(served.get(f"/api/v1/messages/{sent}?wait=15"))
        while not served.core.feed._listeners:
            await asyncio.sleep(0.001)
        [lease] = await other.messages.lease(await other.messages.routes(), limit=1, worker=served.worker)
        await other.messages.done(lease, b'"from afar"')
        answer = await asyncio.wait_for(waiting, 10)
    assert (answer.json["state"], answer.json["result"]) == ("done", "from afar")


async def test_a_hundred_callers_put_and_wait_at_once(serve, file):
    served = await serve(store=SqliteStore(file))

    async def one(n):
        sent = await served.put("echo", n)
        return sent, await served.get(f"/api/v1/messages/{sent}?wait=20")

    async def work():
        done = 0
        while done < 100:
            routes = await served.store.messages.routes()
            for lease in await served.store.messages.lease(routes, limit=50, worker=served.worker) if routes else ():
                await served.store.messages.done(lease, lease.message.body)
                done += 1
            await asyncio.sleep(0.005)

    working = asyncio.create_task(work())
    answers = await asyncio.gather(*(one(n) for n in range(100)))
    await working
    assert all(answer.json["state"] == "done" and answer.json["result"] == n for n, (_, answer) in enumerate(answers))


async def test_pages_and_metrics_work_on_it(serve, file):
    served = await serve(store=SqliteStore(file))
    await served.put(queue="mail")
    assert 'perdure_messages{queue="mail",state="ready"} 1.0' in (await served.get("/metrics")).text
    assert (await served.get("/readyz", key=None)).status == 200
    assert [queue["name"] for queue in (await served.get("/api/v1/queues")).json["data"]] == ["mail"]
