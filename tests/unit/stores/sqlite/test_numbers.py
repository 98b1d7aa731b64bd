"""Numbers that nobody writes down while messages are only put, since the newest rows say what they are."""

from __future__ import annotations

from pathlib import Path

import apsw

from perdure.messages.retention import Keep
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import message, put


def written(path: Path) -> tuple[int, int]:
    file = apsw.Connection(str(path))
    try:
        return file.execute("SELECT last, change FROM sequence").get
    finally:
        file.close()


async def test_who_only_puts_leaves_the_row_of_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    async with SqliteStore(path, clock=FakeClock()) as store:
        before = written(path)
        for _ in range(3):
            await put(store)

        assert written(path) == before


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "perdure.db", FakeClock()
    async with SqliteStore(path, clock=clock) as store:
        first, seen = await put(store), await store.messages.changed(0, timeout_s=0)
    async with SqliteStore(path, clock=clock) as store:
        assert store.messages.heard() == seen
        assert await put(store) > first
        assert await store.messages.changed(seen, timeout_s=0) > seen


async def test_two_stores_that_only_put_never_draw_the_same_number(tmp_path: Path) -> None:
    path, clock = tmp_path / "perdure.db", FakeClock()
    async with SqliteStore(path, clock=clock) as one, SqliteStore(path, clock=clock) as other:
        ids = [await put(store) for _ in range(5) for store in (one, other, other)]

        changes = await other.messages.changes(0)

    assert ids == sorted(set(ids))
    assert [change.seq for change in changes] == list(range(1, 16))


async def test_changes_that_are_forgotten_are_not_numbered_again(tmp_path: Path) -> None:
    clock = FakeClock()
    async with SqliteStore(tmp_path / "perdure.db", clock=clock) as store:
        await store.messages.put([message(), message()])
        clock.pass_by(seconds=100)
        await store.retention.tidy(Keep(changes_s=50))
        assert await store.messages.changes(0) == []

        await put(store)

        assert [change.seq for change in await store.messages.changes(0)] == [3]
