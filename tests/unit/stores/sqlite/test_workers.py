"""The kernel shows a worker's death at once; silence shows it after a while, but not after an outage of ours."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors.base import LeaseLost, StoreBusy, StoreError, WorkerFenced
from perdure.messages.message import State, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.sqlite import heart as hearts
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, card, message, open_routes, put, state, take

WORKER = """
    import asyncio, sys
    from perdure.stores.sqlite.store import SqliteStore
    from perdure.testing.given import alive, take

    async def main():
        async with SqliteStore(sys.argv[1]) as store:
            worker = await alive(store)
            leases = await take(store, worker, 5)
            print(worker, len(leases), flush=True)
            input()

    asyncio.run(main())
"""


async def test_a_killed_process_is_dead_at_once(path: Path, program: Any, line: Any) -> None:
    async with SqliteStore(path) as store:
        ids = [receipt.id for receipt in await store.messages.put([message() for _ in range(3)])]
        process = program(WORKER, path)
        worker, taken = map(int, (await line(process)).split())
        assert (taken, await store.workers.reap()) == (3, [])
        process.kill()
        await asyncio.to_thread(process.wait, 30)

        [reaped] = await store.workers.reap()

        assert (reaped.worker, list(reaped.released)) == (worker, ids)
        assert await state(store, ids[0]) is State.READY
        assert not (path.parent / "run" / f"worker-{worker}.lock").exists()


async def test_a_worker_that_never_beat_again_but_lives_keeps_its_lock(store: SqliteStore, path: Path) -> None:
    worker = await alive(store)
    file = os.open(path.parent / "run" / f"worker-{worker}.lock", os.O_RDWR)

    with pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)


async def test_the_workers_of_a_closed_store_are_dead_to_the_others(store: SqliteStore, second: SqliteStore) -> None:
    number = await put(store)
    worker = await alive(store)
    await take(store, worker)
    await store.__aexit__(None, None, None)

    [reaped] = await second.workers.reap()

    assert (reaped.worker, list(reaped.released)) == (worker, [number])


async def test_a_missing_lock_file_says_nothing(store: SqliteStore, second: SqliteStore, path: Path) -> None:
    worker = await alive(store)
    (path.parent / "run" / f"worker-{worker}.lock").unlink()

    assert await second.workers.reap() == []


async def test_bowing_out_removes_the_lock_file(store: SqliteStore, path: Path) -> None:
    worker = await alive(store)
    await store.workers.bow_out(worker)

    assert not list((path.parent / "run").glob("worker-*.lock"))


async def test_ids_of_workers_are_never_used_again(store: SqliteStore, second: SqliteStore) -> None:
    first = await alive(store)
    await store.workers.bow_out(first)

    assert sorted({first, await alive(second), await alive(store)}) == [first, first + 1, first + 2]


async def test_a_worker_that_could_not_be_registered_holds_no_lock(
    second: SqliteStore, path: Path, file: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = second.workers._engine.locks.hold

    async def then_block(worker: WorkerId) -> None:
        await hold(worker)
        file.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(second.workers._engine.locks, "hold", then_block)
    with pytest.raises(StoreBusy):
        await alive(second)

    assert not list((path.parent / "run").glob("worker-*.lock"))


async def test_after_an_outage_silence_is_not_death_for_a_full_limit(second: SqliteStore, clock: FakeClock, file: apsw.Connection) -> None:
    worker = await alive(second)
    heart = second.workers.heart(worker)
    heart.beat()
    clock.pass_by(seconds=60)
    file.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        heart.beat()
    file.execute("ROLLBACK")

    assert await second.workers.reap() == []
    clock.pass_by(seconds=9)
    assert await second.workers.reap() == []
    clock.pass_by(seconds=2)
    assert [reaped.worker for reaped in await second.workers.reap()] == [worker]
    heart.close()


async def test_a_reaper_that_cannot_reach_the_store_waits_too(second: SqliteStore, clock: FakeClock, file: apsw.Connection) -> None:
    worker = await alive(second)
    clock.pass_by(seconds=60)
    file.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        await second.workers.reap()
    file.execute("ROLLBACK")

    assert await second.workers.reap() == []
    clock.pass_by(seconds=11)
    assert [reaped.worker for reaped in await second.workers.reap()] == [worker]


async def test_a_process_that_stood_still_itself_lets_the_others_beat_first(
    store: SqliteStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, mine = await alive(store), await alive(store)
    seconds = 1000.0
    monkeypatch.setattr(hearts, "awake", lambda: seconds)
    heart = store.workers.heart(mine)
    heart.beat()
    clock.pass_by(seconds=3600)
    seconds += 3600.0
    heart.beat()

    assert await store.workers.reap() == []
    clock.pass_by(seconds=11)
    heart.beat()
    assert [reaped.worker for reaped in await store.workers.reap()] == [other]
    heart.close()


async def test_a_fenced_worker_can_neither_beat_nor_take(store: SqliteStore, clock: FakeClock) -> None:
    await put(store)
    worker = await alive(store)
    heart = store.workers.heart(worker)
    clock.pass_by(seconds=11)
    await store.workers.reap()

    with pytest.raises(WorkerFenced):
        heart.beat()
    with pytest.raises(WorkerFenced):
        await take(store, worker)
    heart.close()
    heart.close()


async def test_who_beats_between_the_look_and_the_reaping_lives(store: SqliteStore, clock: FakeClock) -> None:
    worker = await alive(store)
    clock.pass_by(seconds=11)
    heart = store.workers.heart(worker)
    read = store.workers._engine.read

    async def beat_meanwhile(fn: Any, *given: Any) -> Any:
        seen = await read(fn, *given)
        heart.beat()
        return seen

    store.workers._engine.read = beat_meanwhile  # type: ignore[method-assign,assignment]
    assert await store.workers.reap() == []
    heart.close()


async def test_an_agent_registered_elsewhere_is_seen_within_a_second(
    store: SqliteStore, second: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.stores.sql import workers

    seconds = 50.0
    monkeypatch.setattr(workers, "awake", lambda: seconds)
    await alive(store, "mail@1")
    assert (await store.workers.agent("mail")).version == "1"  # type: ignore[union-attr]

    await alive(second, "mail@2")
    seconds += 1.5

    assert (await store.workers.agent("mail")).version == "2"  # type: ignore[union-attr]
    assert await store.workers.agent("nobody") is None


async def test_a_stale_lease_is_refused_across_stores(store: SqliteStore, second: SqliteStore, clock: FakeClock) -> None:
    await put(store)
    [stale] = await take(store, await alive(store))
    clock.pass_by(seconds=11)
    await second.workers.reap()
    [now] = await take(second, await alive(second))

    with pytest.raises(LeaseLost):
        await store.messages.done(stale, b"1")
    await second.messages.done(now, b"2")

    assert (await store.messages.get(now.message.id)).result == b"2"
    assert (await store.messages.counters())["refused_stale"] == 1
    assert await open_routes(store)


async def test_a_worker_of_many_agents_is_shown_whole(store: SqliteStore) -> None:
    cards = [AgentCard(name=f"agent-{n}", version="1", input_schema={"type": "object"}) for n in range(50)]
    await store.workers.register(WorkerCard(host="here", pid=7, slots=3, agents=cards, queues=["mail"]))

    [status] = await store.workers.workers()

    assert status.card == WorkerCard(host="here", pid=7, slots=3, agents=cards, queues=["mail"])
    assert card().queues is None


async def test_a_beat_that_failed_keeps_the_write_lock_from_nobody(
    store: SqliteStore, second: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await alive(store)
    heart = store.workers.heart(worker)
    monkeypatch.setattr(hearts, "_BEAT", "UPDATE worker SET beat_at = ?1, card = NULL WHERE id = ?2 RETURNING id")
    with pytest.raises(StoreError):
        heart.beat()

    try:
        assert await put(second)
    finally:
        heart.close()
