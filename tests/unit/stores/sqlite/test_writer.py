"""One writer gathers the calls of many, and one that fails takes nobody with it."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw
import pytest

from perdure.errors.base import Conflict, DedupConflict, InvalidInput, LeaseLost, StoreBusy, StoreClosed, StoreError
from perdure.messages.store import Filter
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sqlite.engine import Engine
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.given import message, runs


@pytest.fixture
def engine(store: SqliteStore) -> Engine:
    return store.messages._engine


def which(tx: Transaction) -> Transaction:
    return tx


def write(tx: Transaction, key: str, *, then_fail: BaseException | None = None) -> str:
    tx.count(key)
    tx.run("INSERT INTO lane VALUES (?, 0, '')", (key,))
    if then_fail is not None:
        raise then_fail
    return key


async def lanes(engine: Engine) -> list[str]:
    return await engine.read(lambda run: [name for (name,) in run("SELECT name FROM lane ORDER BY name")])


async def test_calls_made_together_are_committed_together(engine: Engine) -> None:
    transactions = await asyncio.gather(*(engine.write(which) for _ in range(100)))

    assert len(set(transactions)) < 10


async def test_a_lone_call_does_not_wait_for_company(engine: Engine) -> None:
    async with asyncio.timeout(5):
        assert await engine.write(write, "alone") == "alone"


async def test_a_transaction_takes_512_calls_at_most(engine: Engine) -> None:
    holding = [engine.write(which) for _ in range(1500)]

    counts: dict[Transaction, int] = {}
    for transaction in await asyncio.gather(*holding):
        counts[transaction] = counts.get(transaction, 0) + 1

    assert max(counts.values()) <= 512


async def test_large_calls_are_not_all_gathered_into_one(engine: Engine) -> None:
    mib = 1024 * 1024

    transactions = await asyncio.gather(*(engine.write(which, size_bytes=2 * mib) for _ in range(8)))

    assert len(set(transactions)) >= 4


async def test_a_call_that_fails_after_writing_is_taken_back_alone(engine: Engine) -> None:
    calls = [engine.write(write, "a"), engine.write(write, "bad", then_fail=Conflict("no")), engine.write(write, "b")]

    good, bad, also_good = await asyncio.gather(*calls, return_exceptions=True)

    assert (good, also_good) == ("a", "b")
    assert isinstance(bad, Conflict)
    assert await lanes(engine) == ["a", "b"]


async def test_what_a_failed_call_gathered_is_not_counted(store: SqliteStore, engine: Engine) -> None:
    calls = [engine.write(write, "a"), engine.write(write, "bad", then_fail=Conflict("no"))]

    await asyncio.gather(*calls, return_exceptions=True)

    assert await store.messages.counters() == {"a": 1}


async def test_a_call_that_fails_before_writing_costs_the_others_nothing(engine: Engine) -> None:
    def refuse(tx: Transaction) -> None:
        raise LeaseLost("stale")

    refused, transaction = await asyncio.gather(engine.write(refuse), engine.write(which), return_exceptions=True)

    assert isinstance(refused, LeaseLost)
    assert isinstance(transaction, Transaction)


async def test_a_refused_write_is_counted_also_beside_a_call_that_is_taken_back(store: SqliteStore, engine: Engine) -> None:
    lease = await runs(store)
    await store.messages.done(lease, b"1")
    calls = [engine.write(write, "bad", then_fail=Conflict("no")), store.messages.done(lease, b"2")]

    _, refused = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(refused, LeaseLost)
    assert await store.messages.counters() == {"refused_stale": 1}


async def test_a_statement_that_breaks_a_rule_fails_its_own_call_only(engine: Engine) -> None:
    calls = [engine.write(write, "a"), engine.write(write, "a"), engine.write(write, "b")]

    one, again, other = await asyncio.gather(*calls, return_exceptions=True)

    assert (one, other) == ("a", "b")
    assert isinstance(again, StoreError)


async def test_an_error_of_the_file_fails_all_and_the_writer_lives_on(engine: Engine) -> None:
    def full(tx: Transaction) -> None:
        raise apsw.FullError("disk")

    failed = await asyncio.gather(engine.write(write, "a"), engine.write(full), return_exceptions=True)

    assert [getattr(error, "code", None) for error in failed] == ["store-full", "store-full"]
    assert await lanes(engine) == []
    assert await engine.write(write, "later") == "later"


async def test_a_bug_in_a_call_reaches_its_caller_as_it_is(engine: Engine) -> None:
    def bug(tx: Transaction) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await engine.write(bug)


async def test_a_bulk_put_that_conflicts_leaves_nothing_and_its_neighbours_everything(store: SqliteStore) -> None:
    bulk = [message(), message(dedup_key="k"), message(dedup_key="k", body=b"2")]

    refused, receipts = await asyncio.gather(store.messages.put(bulk), store.messages.put([message(queue="new")]), return_exceptions=True)

    assert isinstance(refused, DedupConflict)
    assert not isinstance(receipts, BaseException)
    [only] = (await store.messages.list(Filter())).views
    assert only.message.id == receipts[0].id
    assert [change.id for change in await store.messages.changes(0)] == [receipts[0].id]
    assert [(queue.name, dict(queue.counts)) for queue in await store.messages.queues()] == [("new", {"ready": 1})]


async def test_a_route_made_by_a_call_that_was_taken_back_is_made_again(store: SqliteStore) -> None:
    with pytest.raises(DedupConflict):
        await store.messages.put([message(dedup_key="k"), message(dedup_key="k", body=b"2")])

    await store.messages.put([message()])

    assert [route.agent for route in await store.messages.routes()] == ["mail"]


async def test_a_call_whose_caller_has_gone_is_not_made(engine: Engine) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    def hold(tx: Transaction) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)

    holding = engine.write(hold)
    await begun.wait()
    gone = engine.write(write, "gone")
    gone.cancel()
    release.set()
    await holding
    await engine.write(write, "here")

    assert await lanes(engine) == ["here"]


async def test_a_database_held_by_another_is_busy_after_the_wait(second: SqliteStore, file: apsw.Connection) -> None:
    file.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy) as caught:
        await second.messages.put([message()])

    assert isinstance(caught.value.__cause__, apsw.BusyError)
    file.execute("ROLLBACK")
    assert len(await second.messages.put([message()])) == 1


async def test_text_that_is_no_unicode_is_refused_and_not_half_kept(store: SqliteStore) -> None:
    with pytest.raises(InvalidInput):
        await store.messages.put([message(), message(queue="\ud800")])

    assert (await store.messages.list(Filter())).views == []


async def test_what_was_accepted_before_closing_is_kept(store: SqliteStore) -> None:
    putting = asyncio.gather(*(store.messages.put([message()]) for _ in range(50)))
    await asyncio.sleep(0)  # let them reach the writer
    await store.__aexit__(None, None, None)

    assert len(await putting) == 50
    with pytest.raises(StoreClosed):
        await store.messages.put([message()])


async def test_events_are_told_after_the_commit_on_the_loops_thread(store: SqliteStore) -> None:
    import threading

    from perdure.events import listen

    told: list[tuple[str, Any]] = []
    stop = listen("message.", lambda name, facts: told.append((name, threading.current_thread())))
    lease = await runs(store)
    await store.messages.done(lease, b"1")
    stop()

    assert told == [(name, threading.current_thread()) for name in ("message.put", "message.leased", "message.done")]
