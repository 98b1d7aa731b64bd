"""A change is heard of at once here, and soon in every other process."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import put


async def begin_to_wait(store: SqliteStore, after: int, timeout_s: float = 20) -> asyncio.Task[int]:
    waiting = asyncio.create_task(store.messages.changed(after, timeout_s=timeout_s))
    await asyncio.sleep(0)
    return waiting


async def test_a_change_of_another_store_is_heard(store: SqliteStore, second: SqliteStore) -> None:
    waiting = await begin_to_wait(store, 0)

    await put(second)

    assert await waiting == 1


async def test_a_change_made_while_nobody_waited_is_heard_at_once(store: SqliteStore, second: SqliteStore) -> None:
    await put(second)
    await put(second)

    assert await store.messages.changed(1, timeout_s=20) == 2


async def test_without_bells_it_is_seen_by_looking(store: SqliteStore, second: SqliteStore, path: Path) -> None:
    for bell in (path.parent / "run" / "bells").iterdir():
        bell.unlink()
    waiting = await begin_to_wait(store, 0)

    await put(second)

    assert await waiting == 1


async def test_a_bell_wakes_without_looking(store: SqliteStore, second: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from perdure.stores.sqlite import news

    monkeypatch.setattr(news, "_LOOK_S", 30.0)
    waiting = await begin_to_wait(store, 0, timeout_s=25)
    while store.messages._engine.news._thread is None:
        await asyncio.sleep(0)

    await put(second)

    assert await waiting == 1


async def test_the_bell_of_a_process_that_is_gone_is_taken_down(store: SqliteStore, path: Path, program: Any, line: Any) -> None:
    source = """
        import asyncio, os, signal, sys
        from perdure.stores.sqlite.store import SqliteStore

        async def main():
            async with SqliteStore(sys.argv[1]):
                print("open", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    killed = program(source, path)
    await line(killed)
    await asyncio.to_thread(killed.wait, 30)
    bells = path.parent / "run" / "bells"
    assert len(list(bells.iterdir())) == 2

    await put(store)

    assert len(list(bells.iterdir())) == 1


async def test_a_long_path_has_bells_too(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / ("long-" * 30) / "perdure.db"
    async with SqliteStore(path, clock=clock) as one, SqliteStore(path, clock=clock) as other:
        assert len(list((path.parent / "run" / "bells").iterdir())) == 2
        waiting = await begin_to_wait(one, 0)
        await put(other)

        assert await waiting == 1


async def test_nothing_in_time_gives_back_what_was_known(store: SqliteStore) -> None:
    assert await store.messages.changed(7, timeout_s=0.001) == 7


async def test_many_wait_and_all_are_woken(store: SqliteStore) -> None:
    waiting = [await begin_to_wait(store, 0) for _ in range(20)]

    await put(store)

    assert set(await asyncio.gather(*waiting)) == {1}


async def test_who_gives_up_waiting_leaves_nothing_behind(store: SqliteStore) -> None:
    waiting = await begin_to_wait(store, 0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert store.messages._engine.news._waiting == {}
    await put(store)


async def test_a_put_is_heard_of_from_another_process(store: SqliteStore, path: Path, program: Any, line: Any) -> None:
    source = """
        import asyncio, sys
        from perdure.stores.sqlite.store import SqliteStore
        from perdure.testing.given import put

        async def main():
            async with SqliteStore(sys.argv[1]) as store:
                print(await put(store), flush=True)

        asyncio.run(main())
    """
    waiting = await begin_to_wait(store, 0)
    putting = program(source, path)

    assert await waiting == 1
    assert int(await line(putting)) == (await store.messages.changes(0))[0].id


async def test_who_waits_when_the_store_closes_comes_to_an_end(path: Path) -> None:
    async with SqliteStore(path) as store:
        waiting = await begin_to_wait(store, 0, timeout_s=0.05)

    assert await waiting == 0


async def test_a_commit_is_answered_although_the_bells_were_tidied_away(store: SqliteStore, second: SqliteStore, path: Path) -> None:
    shutil.rmtree(path.parent / "run" / "bells")
    waiting = await begin_to_wait(store, 0)

    async with asyncio.timeout(20):
        await put(second)

        assert await waiting == 1


async def test_trouble_with_the_file_makes_nobody_deaf_for_good(
    store: SqliteStore, second: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.stores.sqlite import news

    troubles, look = [apsw.BusyError("locked")], news._newest

    def newest(connection: apsw.Connection) -> int:
        if troubles:
            raise troubles.pop()
        return look(connection)

    monkeypatch.setattr(news, "_newest", newest)
    waiting = await begin_to_wait(store, 0)

    await put(second)

    assert await waiting == 1
    assert not troubles
