"""Turns between processes that write one file, and what a line or a limit costs however much it holds."""

from __future__ import annotations

import apsw
import pytest

from perdure.messages.limits import Limit, Scope
from perdure.messages.message import MessageId
from perdure.stores.sql import limits
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import BROKE, alive, message, put, state, take


async def test_what_one_process_knew_of_tags_is_forgotten_when_another_has_written(store: SqliteStore, second: SqliteStore) -> None:
    worker = await alive(second)
    await store.messages.put([message(tenant="bulk") for _ in range(40)])
    for _ in range(2):
        for lease in await take(second, worker, 10):
            await second.messages.done(lease, b"1")
        await put(second, tenant="bulk")
    newcomer = await put(store, tenant="newcomer")
    assert newcomer in {lease.message.id for lease in await take(second, worker, 3)}


async def test_a_put_that_was_refused_leaves_no_gap(store: SqliteStore, file: apsw.Connection) -> None:
    await put(store, dedup_key="k")
    with pytest.raises(Exception, match="came before"):
        await store.messages.put([message(), message(dedup_key="k", body=b"2")])
    await put(store)

    assert [tag for (tag,) in file.execute("SELECT tag FROM ready ORDER BY id")] == [1, 2]


async def test_a_limit_set_by_one_process_holds_what_another_puts_next(store: SqliteStore, second: SqliteStore) -> None:
    await put(store, tenant="acme")
    await second.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
    assert await state(second, await put(store, tenant="acme")) == "held"


async def _changes_of_one_end(store: SqliteStore, members: int, tenant: str) -> int:
    """How many rows a `done` writes that lets the next of a session run."""
    await store.messages.put([message(session="talk", tenant=tenant) for _ in range(members)])
    [lease] = await take(store, await alive(store))
    writer = store._engine._parts()[0]._connection
    before = writer.total_changes()
    await store.messages.done(lease, b"1")
    return int(writer.total_changes() - before)


async def test_an_end_costs_the_same_however_long_the_line(store: SqliteStore) -> None:
    few = await _changes_of_one_end(store, 3, "few")
    for lease in await take(store, await alive(store), 10):
        await store.messages.bury(lease, BROKE)

    assert await _changes_of_one_end(store, 3000, "many") <= few


async def test_a_new_limit_over_a_backlog_holds_it_in_bites(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_BITE", 4)
    await alive(store)
    ids: list[MessageId] = [receipt.id for receipt in await store.messages.put([message(tenant="acme") for _ in range(10)])]

    status = await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=2))
    assert (status.used, status.held) == (2, 2)
    for _ in range(3):
        await store.messages.tend()

    assert [await state(store, one) for one in ids] == ["ready"] * 2 + ["held"] * 8


async def test_a_paused_backlog_gives_up_all_its_places_in_bites(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, file: apsw.Connection
) -> None:
    monkeypatch.setattr(limits, "_BITE", 4)
    await alive(store)
    await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=10))
    await store.messages.put([message(tenant="acme", queue=queue) for queue in ["slow"] * 10 + ["other"] * 10])
    await store.messages.pause("slow")

    held = []
    for _ in range(4):
        await store.messages.tend()
        held.append(file.execute("SELECT count(*) FROM held JOIN route r ON r.id = route WHERE r.queue = 'slow'").get)

    assert held == [8, 10, 10, 10]  # a bite when it is noted, and one a round
    assert len(await take(store, await alive(store), 20)) == 10
    assert not file.execute("SELECT 1 FROM route WHERE room_from IS NOT NULL").fetchall()


async def test_a_lifted_limit_lets_a_backlog_in_in_bites(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, file: apsw.Connection
) -> None:
    await alive(store)
    await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=1))
    await store.messages.put([message(tenant="acme") for _ in range(10)])
    monkeypatch.setattr(limits, "_BITE", 4)

    assert await store.messages.drop_limit(Scope.TENANT, "acme")
    assert file.execute("SELECT count(*) FROM held").get == 5
    for _ in range(3):
        await store.messages.tend()

    assert file.execute("SELECT count(*) FROM held").get == 0
    assert file.execute("SELECT count(*) FROM cap").get == file.execute("SELECT count(*) FROM gate").get == 0


async def test_numbers_that_went_wrong_are_put_right_within_the_hour(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    await alive(store)
    await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=2))
    await store.messages.put([message(tenant="acme") for _ in range(4)])
    await store.messages.tend()
    file.execute("UPDATE gate SET used = 7, held = 0")

    clock.pass_by(seconds=3700)
    await store.workers.reap()
    await alive(store)
    await store.messages.tend()

    [status] = await store.messages.limits()
    assert (status.used, status.held) == (2, 2)


async def test_tags_of_the_past_are_swept_away(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    worker = await alive(store)
    await store.messages.put([message(tenant=f"t{n}") for n in range(5)])
    for lease in await take(store, worker, 5):
        await store.messages.done(lease, b"1")
    await put(store, priority=9)
    await store.messages.pause("default")
    await store.messages.tend()
    clock.pass_by(seconds=3700)
    await store.messages.tend()

    assert file.execute("SELECT c FROM kept WHERE what = 'fair'").fetchall() == [(9,)]
