"""What time demands is found without looking through the backlog, and done in bites."""

from __future__ import annotations

import asyncio

import apsw
import pytest

from perdure.messages.message import State
from perdure.messages.store import Filter
from perdure.stores.sql import tend, tending
from perdure.stores.sql.names import Names
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, runs, state


@pytest.fixture
def small_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tend, "_BITE", 3)
    monkeypatch.setattr(tending, "_BITES", 1)


async def test_tending_reads_no_route_that_has_not_changed(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    statements: list[str] = []

    def traced(cursor: object, sql: str, bindings: object) -> bool:
        statements.append(sql)
        return True

    file.exec_trace = traced

    def made() -> int:
        statements.clear()
        file.execute("BEGIN IMMEDIATE")
        tend.bite(Transaction(file.execute, file.executemany, Names(file.execute), clock.now()), [])
        file.execute("ROLLBACK")
        return len(statements)

    await put(store)
    await store.messages.tend()
    few = made()
    await store.messages.put([message(queue=f"once-{n}") for n in range(50)])
    await store.messages.tend()

    assert made() == few


async def test_nothing_due_writes_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await alive(store)
    await put(store)
    monkeypatch.setattr(tending, "bite", lambda tx, changed: pytest.fail("it wrote"))

    assert (await store.messages.tend()).due == 0


async def test_a_thousand_that_are_due_are_moved_a_hundred_in_a_transaction_and_a_put_comes_in_between(
    store: SqliteStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []
    flush = Transaction.flush

    def counted(tx: Transaction) -> None:
        moved.append(len(tx._changes))
        flush(tx)

    await alive(store)
    await store.messages.put([message(due_at=clock.now() + 5, deadline=clock.now() + 6 if n % 2 else None) for n in range(700)])
    clock.pass_by(seconds=7)
    monkeypatch.setattr(Transaction, "flush", counted)

    tending_all = asyncio.ensure_future(store.messages.tend())
    await put(store)

    assert not tending_all.done()
    tended = await tending_all
    assert (tended.expired, tended.gave_up, tended.due) == (350, 0, 350)
    assert max(moved) <= 101


@pytest.mark.usefixtures("small_bites")
async def test_a_blocked_route_is_looked_through_in_bites(store: SqliteStore, clock: FakeClock) -> None:
    await store.messages.put([message(max_wait_s=10.0) for _ in range(7)])
    await store.messages.tend()
    clock.pass_by(seconds=11)

    gave_up = [(await store.messages.tend()).gave_up for _ in range(4)]

    assert gave_up == [3, 3, 1, 0]
    assert len((await store.messages.list(Filter(state=State.DEAD, code="waited-too-long"))).views) == 7


@pytest.mark.usefixtures("small_bites")
async def test_the_patient_are_passed_over_and_looked_at_when_their_time_comes(store: SqliteStore, clock: FakeClock) -> None:
    ids = [await put(store, max_wait_s=100.0 if n % 2 else 10.0) for n in range(8)]
    await store.messages.tend()
    clock.pass_by(seconds=11)
    for _ in range(4):
        await store.messages.tend()
    assert [await state(store, one) for one in ids] == [State.DEAD, State.READY] * 4

    clock.pass_by(seconds=88)
    assert (await store.messages.tend()).gave_up == 0
    clock.pass_by(seconds=2)
    for _ in range(3):
        await store.messages.tend()

    assert {await state(store, one) for one in ids} == {State.DEAD}


async def test_who_gets_ready_behind_a_look_has_its_own_time(store: SqliteStore, clock: FakeClock) -> None:
    first = await put(store, max_wait_s=10.0)
    await store.messages.tend()
    clock.pass_by(seconds=8)
    second = await put(store, max_wait_s=10.0)
    clock.pass_by(seconds=3)
    await store.messages.tend()
    assert (await state(store, first), await state(store, second)) == (State.DEAD, State.READY)

    clock.pass_by(seconds=8)
    await store.messages.tend()

    assert await state(store, second) is State.DEAD


async def test_an_impatient_message_on_a_route_blocked_long_ago_is_not_forgotten(store: SqliteStore, clock: FakeClock) -> None:
    await put(store, max_wait_s=1000.0)
    await store.messages.tend()
    clock.pass_by(seconds=50)
    impatient = await put(store, max_wait_s=5.0)
    clock.pass_by(seconds=6)
    await store.messages.tend()

    assert await state(store, impatient) is State.DEAD


async def test_a_route_that_opens_again_forgets_how_long_it_was_blocked(
    store: SqliteStore, clock: FakeClock, file: apsw.Connection
) -> None:
    number = await put(store, max_wait_s=10.0)
    await store.messages.tend()
    clock.pass_by(seconds=9)
    worker = await alive(store)
    await store.messages.tend()
    assert file.execute("SELECT blocked_since, sweep_at FROM route").fetchall() == [(None, None)]
    await store.workers.bow_out(worker)
    await store.messages.tend()
    clock.pass_by(seconds=9)
    await store.messages.tend()

    assert await state(store, number) is State.READY


async def test_a_deadline_met_while_running_counts_when_it_comes_back(store: SqliteStore, clock: FakeClock, file: apsw.Connection) -> None:
    lease = await runs(store, deadline=clock.now() + 10)
    clock.pass_by(seconds=11)
    await store.messages.tend()
    assert file.execute("SELECT count(*) FROM expiry").get == 0
    await store.messages.release(lease)

    assert (await store.messages.tend()).expired == 1
    assert await state(store, lease.message.id) is State.DEAD


async def test_numbers_kept_are_the_numbers_counted(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    lease = await runs(store)
    await store.messages.done(lease, b"1")
    await store.messages.put([message(due_at=clock.now() + 5), message(queue="other")])
    await store.messages.cancel((await store.messages.put([message()]))[0].id)

    [default, other] = await store.messages.queues()

    assert dict(default.counts) == {"done": 1, "later": 1, "cancelled": 1}
    assert dict(default.totals) == {"put": 3, "done": 1, "cancelled": 1}
    assert (dict(other.counts), other.oldest_ready_at) == ({"ready": 1}, clock.now())


async def test_a_total_that_went_nowhere_is_not_written(store: SqliteStore) -> None:
    def nothing(tx: Transaction) -> None:
        tx.count("calls", 0)

    await store.messages._engine.write(nothing)

    assert await store.messages.counters() == {}


@pytest.mark.usefixtures("small_bites")
async def test_several_blocked_routes_share_a_bite_and_none_is_cut_short(store: SqliteStore, clock: FakeClock) -> None:
    await store.messages.put([message(queue=queue, max_wait_s=10.0) for queue in ("one", "other") for _ in range(2)])
    await store.messages.tend()
    clock.pass_by(seconds=11)

    assert [(await store.messages.tend()).gave_up for _ in range(3)] == [3, 1, 0]
