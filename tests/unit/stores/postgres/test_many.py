"""Tending, reaping and stopping cost a bounded number of statements, however many messages there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from perdure.messages.message import Lease, NewMessage, State, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.postgres import pool
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock


class Asked:
    """What a store has asked its database."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    async def connect(self, *given: Any, **named: Any) -> Any:
        connection = await self._connect(*given, **named)
        connection.add_query_logger(lambda record: self.statements.append(record.query))
        return connection

    _connect = staticmethod(pool.connect)

    def since(self, before: int) -> int:
        return len(self.statements) - before

    @property
    def n(self) -> int:
        return len(self.statements)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(pool, "connect", asked.connect)
    return asked


@pytest.fixture
async def store(asked: Asked, postgres_url: str, clock: FakeClock) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(postgres_url, clock=clock, pool=4) as opened:
        yield opened


def new(n: int, **given: Any) -> NewMessage:
    return NewMessage(agent="mail", body=f"{n}".encode(), **given)


async def alive(store: PostgresStore) -> WorkerId:
    return await store.workers.register(WorkerCard(host="here", pid=1, slots=1000, agents=[AgentCard(name="mail", version="1")]))


async def held(store: PostgresStore, n: int, **given: Any) -> tuple[WorkerId, list[Lease]]:
    worker = await alive(store)
    await store.messages.put([new(one, **given) for one in range(n)])
    leases = await store.messages.lease(await store.messages.routes(), limit=n, worker=worker)
    assert len(leases) == n
    return worker, leases


async def counts(store: PostgresStore) -> dict[str, int]:
    [queue] = await store.messages.queues()
    return {state: n for state, n in queue.counts.items() if n}


@pytest.mark.parametrize("n", [200, 1000])
async def test_all_that_a_dead_worker_held_is_taken_back_together(store: PostgresStore, asked: Asked, clock: FakeClock, n: int) -> None:
    worker, leases = await held(store, n, deadline=clock.now() + 3600)
    clock.pass_by(seconds=11)
    before = asked.n
    [reaped] = await store.workers.reap()
    assert asked.since(before) < 30
    assert (reaped.worker, sorted(reaped.released)) == (worker, sorted(lease.message.id for lease in leases))
    assert await counts(store) == {"ready": n}
    view = await store.messages.get(leases[0].message.id)
    assert (view.crashes, [one.kind for one in await store.messages.attempts(leases[0].message.id)]) == (1, ["crash"])


async def test_those_that_crash_again_lie_in_quarantine_together(store: PostgresStore, asked: Asked, clock: FakeClock) -> None:
    await held(store, 200)
    clock.pass_by(seconds=11)
    await store.workers.reap()
    await store.messages.lease(await store.messages.routes(), limit=200, worker=await alive(store))
    clock.pass_by(seconds=11)
    before = asked.n
    [reaped] = await store.workers.reap()
    assert asked.since(before) < 30
    assert len(reaped.quarantined) == 200


async def test_a_worker_that_stops_gives_all_back_together(store: PostgresStore, asked: Asked) -> None:
    worker, leases = await held(store, 200)
    before = asked.n
    await store.workers.bow_out(worker)
    assert asked.since(before) < 25
    assert await counts(store) == {"ready": 200}
    view = await store.messages.get(leases[0].message.id)
    assert (view.attempt, view.crashes) == (0, 0)


async def test_messages_that_are_given_back_at_once_share_their_commits(store: PostgresStore, asked: Asked) -> None:
    _, leases = await held(store, 200)
    before = asked.n
    await asyncio.gather(*(store.messages.release(lease) for lease in leases))
    assert asked.since(before) < 40
    assert await counts(store) == {"ready": 200}


async def test_beside_plain_ones_those_of_sessions_and_those_called_off_go_their_own_way(
    store: PostgresStore, second: PostgresStore, clock: FakeClock
) -> None:
    worker, leases = await held(store, 4)
    in_line = (await store.messages.put([new(9, session="a"), new(10, session="a")]))[0].id
    [head] = await store.messages.lease(await store.messages.routes(), limit=5, worker=worker)
    assert head.message.id == in_line
    await second.messages.cancel(leases[0].message.id)
    clock.pass_by(seconds=11)
    [reaped] = await store.workers.reap()
    assert (list(reaped.cancelled), len(reaped.released)) == ([leases[0].message.id], 4)
    assert (await store.messages.get(leases[0].message.id)).state is State.CANCELLED
    assert await counts(store) == {"ready": 4, "held": 1, "cancelled": 1}


async def test_a_worker_that_cannot_be_reaped_keeps_nobody_from_it(
    store: PostgresStore, database: asyncpg.Connection, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    bad, _ = await held(store, 1)
    good, _ = await held(store, 2)
    await database.execute("UPDATE worker SET card = 'no card' WHERE id = $1", bad)
    clock.pass_by(seconds=11)
    assert [one.worker for one in await store.workers.reap()] == [good]
    assert f"worker {bad}" in caplog.text
