"""Several processes on one file take turns, and the log is written back beside them."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.messages.store import Filter
from perdure.stores.sqlite import checkpoints, turn
from perdure.stores.sqlite.checkpoints import Checkpoints
from perdure.stores.sqlite.connection import open_writer
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.turn import Patience, Turn
from perdure.testing.given import message, put

BUSY = """
    import asyncio, sys
    from perdure.stores.sqlite.store import SqliteStore
    from perdure.testing.given import message

    async def main():
        async with SqliteStore(sys.argv[1]) as store:
            async def go_on():
                while True:
                    await store.messages.put([message() for _ in range(20)])
            callers = [asyncio.create_task(go_on()) for _ in range(4)]
            print("busy", flush=True)
            await asyncio.to_thread(input)
            for caller in callers:
                caller.cancel()

    asyncio.run(main())
"""


async def test_a_process_that_never_stops_writing_lets_others_in(path: Path, program: Any, line: Any) -> None:
    async with SqliteStore(path, wait_s=5) as store:
        process = program(BUSY, path)
        await line(process)

        for _ in range(20):
            await put(store)

        process.stdin.write("\n")
        process.stdin.flush()
        await asyncio.to_thread(process.wait, 30)
        assert len((await store.messages.list(Filter(), limit=30)).views) == 30


async def test_a_place_in_line_held_by_a_frozen_process_holds_nobody_up_for_good(path: Path, store: SqliteStore) -> None:
    frozen = os.open(path.parent / "run" / "turn.lock", os.O_RDWR)
    fcntl.flock(frozen, fcntl.LOCK_EX)

    async with asyncio.timeout(10):
        await put(store)
    os.close(frozen)


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 10.0
    naps: list[float] = []
    monkeypatch.setattr(turn, "awake", lambda: seconds)
    monkeypatch.setattr(turn.time, "sleep", naps.append)
    patience = Patience(2.0)

    assert patience(0)
    assert patience(100)
    seconds = 12.0
    assert not patience(101)
    assert 0 < naps[0] < naps[1] <= 0.006


async def test_the_log_is_written_back_and_begins_anew(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_PAGES_EACH", 20)
    monkeypatch.setattr(checkpoints, "_RESTART_AT", 40)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_NET_PAGES", 10**9)
    body = b'"' + b"x" * 100_000 + b'"'

    async with asyncio.timeout(20):
        while path.stat().st_size < 300 * 4096:  # what was written back is in the file; the rest is in the log alone
            await store.messages.put([message(body=body)])


def grown(path: Path, run_dir: Path, pages: int) -> int:
    """Write some pages past a lock that somebody else holds; tells how many are still in the log alone."""
    patience = Patience(1)
    connection = open_writer(path, patience, "normal")
    watched = Checkpoints(path, run_dir, connection)
    line = Turn(run_dir / "turn.lock")
    for n in range(pages):
        line.begin(connection)
        connection.execute("INSERT INTO lane VALUES (?, 0, ?)", (f"{pages}-{n}", "x" * 4000))
        connection.execute("COMMIT")
    left, done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    watched.close()
    line.close()
    connection.close()
    return left - done


async def test_if_nobody_writes_the_log_back_a_commit_does(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = path.parent / "run"
    elsewhere = os.open(run_dir / "checkpoint.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(elsewhere, fcntl.LOCK_EX)  # the elected one is busy with something else
    monkeypatch.setattr(checkpoints, "_PAGES_EACH", 5)
    assert await asyncio.to_thread(grown, path, run_dir, 30) > 0

    monkeypatch.setattr(checkpoints, "CHECKPOINT_NET_PAGES", 1)
    assert await asyncio.to_thread(grown, path, run_dir, 31) == 0
    os.close(elsewhere)


async def test_a_check_of_an_open_store_answers(store: SqliteStore) -> None:
    await store.check()


async def test_what_is_large_comes_back_as_it_was(store: SqliteStore) -> None:
    body = b'"' + bytes(range(32, 127)).replace(b'"', b"").replace(b"\\", b"") * 20_000 + b'"'

    number = await put(store, body=body, metadata={"source": "ünïcode 🙂", "empty": ""})

    found = (await store.messages.get(number)).message
    assert found.body == body
    assert found.metadata == {"source": "ünïcode 🙂", "empty": ""}


LIFE = """
    import asyncio, sys
    from perdure.stores.sqlite.store import SqliteStore
    from perdure.testing.given import alive, intent, message, open_routes

    async def main():
        async with SqliteStore(sys.argv[1]) as store:
            worker = await alive(store)
            async def live():
                while True:
                    for receipt in await store.messages.put([message() for _ in range(3)]):
                        print(receipt.id, flush=True)
                    for lease in await store.messages.lease(await open_routes(store), limit=2, worker=worker):
                        await store.journal.intend(lease, intent())
                        await store.journal.record(lease, 1, b"1")
                        await store.messages.done(lease, b"1")
            await asyncio.gather(*(live() for _ in range(8)))

    asyncio.run(main())
"""

COUNTED = """
    SELECT 'ready', count(*) FROM ready UNION ALL
    SELECT 'leased', count(*) FROM lease UNION ALL
    SELECT state, count(*) FROM outcome GROUP BY state
"""


async def test_a_process_killed_at_any_moment_leaves_nothing_lost_and_nothing_half_done(path: Path, program: Any, line: Any) -> None:
    answered: list[int] = []
    for kills in (5, 40, 150):
        process = program(LIFE, path)
        answered += [int(await line(process)) for _ in range(kills)]
        process.kill()
        # `communicate` would pass over what `readline` has read ahead, and begin in the middle of a line
        answered += [int(rest) for rest in (await asyncio.to_thread(process.stdout.read)).split("\n")[:-1]]

    async with SqliteStore(path) as store:
        file = apsw.Connection(str(path))
        kept = {number for (number,) in file.execute("SELECT id FROM message")}
        counted = {state: n for state, n in file.execute(COUNTED) if n}
        assert file.pragma("integrity_check") == "ok"
        file.close()
        assert set(answered) <= kept
        [queue] = await store.messages.queues()
        assert dict(queue.counts) == counted
        assert queue.totals["put"] == len(kept) == sum(counted.values())
        assert sum(len(reaped.released) for reaped in await store.workers.reap()) == counted.get("leased", 0)
