"""Tending, reaping and stopping cost a bounded number of statements, however many messages there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from perdure.messages.limits import Limit, Scope
from perdure.messages.message import Lease, NewMessage, State, Wait, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.messages.store import Filter
from perdure.stores.postgres import pool
from perdure.stores.postgres.connection import Address, connect
from perdure.stores.postgres.dialect import text_of
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql import tend
from perdure.stores.sql.statements import statement
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


async def test_due_messages_become_ready_together_and_in_order(store: PostgresStore, asked: Asked, clock: FakeClock) -> None:
    ids = [receipt.id for receipt in await store.messages.put([new(n, due_at=clock.now() + 500 - n) for n in range(500)])]
    await alive(store)
    clock.pass_by(seconds=501)
    before = asked.n
    tended = await store.messages.tend()
    assert asked.since(before) < 120
    assert (tended.due, await counts(store)) == (500, {"ready": 500})
    taken = await store.messages.lease(await store.messages.routes(), limit=3, worker=await alive(store))
    assert [lease.message.id for lease in taken] == [ids[-1], ids[-2], ids[-3]] or taken[0].message.id == ids[0], (
        "every 16th is the earliest put"
    )


async def test_passed_deadlines_are_buried_together(store: PostgresStore, asked: Asked, clock: FakeClock) -> None:
    _, leases = await held(store, 100, deadline=clock.now() + 60)
    await store.messages.put([new(n, deadline=clock.now() + 60) for n in range(100)])
    await store.messages.put([new(n, deadline=clock.now() + 60, due_at=clock.now() + 90) for n in range(100)])
    clock.pass_by(seconds=61)
    before = asked.n
    tended = await store.messages.tend()
    assert asked.since(before) < 100
    assert (tended.expired, await counts(store)) == (200, {"leased": 100, "dead": 200})
    await store.messages.release(leases[0])
    assert (await store.messages.tend()).expired == 1, "who was leased is noted again when it comes back"


async def test_those_who_waited_too_long_are_given_up_together(store: PostgresStore, asked: Asked, clock: FakeClock) -> None:
    _, leases = await held(store, 100, max_wait_s=60.0)
    await asyncio.gather(*(store.messages.park(one, Wait(why="event")) for one in leases))
    await store.messages.put([new(n, queue="nobodys", max_wait_s=60.0) for n in range(100)])
    await store.messages.pause("nobodys")
    await store.messages.tend()
    clock.pass_by(seconds=61)
    before = asked.n
    tended = await store.messages.tend()
    assert asked.since(before) < 110
    assert tended.gave_up == 200
    dead = (await store.messages.list(Filter(state=State.DEAD, code="waited-too-long"), limit=200)).views
    assert len(dead) == 200


async def test_one_bad_row_keeps_nobody_from_being_tended(
    store: PostgresStore, database: asyncpg.Connection, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    [bad, other, *_] = [r.id for r in await store.messages.put([new(n, session=f"s{n}", due_at=clock.now() + 10 + n) for n in range(30)])]
    await store.messages.put([new(n, due_at=clock.now() + 50) for n in range(3)])
    await database.execute("UPDATE later SET id = 1 WHERE id = $1", bad)
    await database.execute(
        "INSERT INTO message (id, tenant, route, created_at, max_wait_s, priority, attempts, session, body)"
        " SELECT 1, 1, 999, created_at, max_wait_s, priority, attempts, session, body FROM message WHERE id = $1",
        other,
    )
    clock.pass_by(seconds=60)
    assert [(await store.messages.tend()).due for _ in range(2)] == [32, 0]
    assert caplog.text.count("passed by") == 1


async def test_slow_looks_begin_where_all_was_done_and_find_what_came_late(store: PostgresStore, clock: FakeClock) -> None:
    beginning = store.messages._tending.beginning
    await alive(store)
    await store.messages.tend()
    beginning.needed = True  # as if somebody kept a transaction open, so that what has gone is stepped over
    assert beginning.at(clock.now()) == clock.now() - 2
    [late] = await store.messages.put([new(1, due_at=clock.now() + 1)])
    await store.messages._engine.write(lambda tx: tx.run("UPDATE later SET at = 5").fetchall())
    assert (await store.messages.tend()).due == 0
    clock.pass_by(seconds=11)
    assert (await store.messages.tend()).due == 1
    assert (await store.messages.get(late.id)).state is State.READY


async def test_old_tags_are_forgotten_a_bite_at_a_time(
    store: PostgresStore, database: asyncpg.Connection, asked: Asked, clock: FakeClock
) -> None:
    await alive(store)
    await store.messages.put([new(1)])
    await store.messages.tend()
    await database.execute("UPDATE clock SET tag = 100; UPDATE chore SET at = 1 WHERE name = 'fair'")
    await database.execute("INSERT INTO clock VALUES (3, 100) ON CONFLICT DO NOTHING")
    await database.execute("INSERT INTO fair SELECT 77, g, 3, 0, 50 + g % 100, 1 FROM generate_series(1, 2500) g")
    before = asked.n
    await store.messages.tend()
    assert asked.since(before) < 100
    assert await database.fetchval("SELECT count(*) FROM fair WHERE route = 77 AND last <= 100") == 0
    assert await database.fetchval("SELECT count(*) FROM fair WHERE route = 77") == 2500 - 1275


async def test_what_was_called_off_is_found_without_walking_what_is_leased(
    store: PostgresStore, address: Address, second: PostgresStore
) -> None:
    worker, leases = await held(store, 200)
    await second.messages.cancel(leases[7].message.id)
    assert await store.messages.called_off(worker) == [leases[7].message.id]
    connection = await connect(address)
    await connection.execute(f"PREPARE look AS {text_of(statement('lease_called_off')).text}")
    plan = "\n".join(line for (line,) in await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE look({worker})"))
    await connection.close()
    assert "lease_called_off on lease" in plan
    assert "rows=1 loops=1" in plan


async def test_while_somebody_keeps_a_transaction_open_a_look_need_not_step_over_what_has_gone(
    store: PostgresStore, database: asyncpg.Connection, address: Address, clock: FakeClock
) -> None:
    async with database.transaction(isolation="repeatable_read"):
        await database.fetchval("SELECT count(*) FROM later")
        connection = await connect(address)
        await connection.execute("INSERT INTO later (id, route, tenant, at) SELECT g, 1, 1, g FROM generate_series(1, 20000) g")
        await connection.execute("DELETE FROM later")
        look = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE look({clock.now()}, %s)"
        await connection.execute(f"PREPARE look AS {text_of(statement('tend_look')).text}")
        read = []
        for begin in (0, clock.now() - 2):
            [[text]] = await connection.fetch(look % begin)
            [plan] = json.loads(text)
            read.append(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
        await connection.close()
    assert read[0] > 100 > 60 > read[1]


async def test_a_part_of_tending_that_fails_keeps_the_others_from_nothing(
    store: PostgresStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise LookupError("a bad row")

    monkeypatch.setattr(tend, "note", fails)
    await store.messages.put([new(1, due_at=clock.now() + 5)])
    await alive(store)
    clock.pass_by(seconds=6)
    assert (await store.messages.tend()).due == 1
    assert "a bad row" in caplog.text


async def test_what_is_held_and_not_there_holds_nobody_up(store: PostgresStore, database: asyncpg.Connection, clock: FakeClock) -> None:
    await store.messages.set_limit(Limit(scope=Scope.QUEUE, name="default", at_once=1))
    worker = await alive(store)
    first, gone, last = [receipt.id for receipt in await store.messages.put([new(n) for n in range(3)])]
    [lease] = await store.messages.lease(await store.messages.routes(), limit=3, worker=worker)
    await database.execute("DELETE FROM message WHERE id = $1", gone)
    await store.messages.done(lease, b"1")
    assert [(await store.messages.get(one)).state for one in (first, last)] == [State.DONE, State.READY]
