"""A store is copied while it works, put back when it does not, and looked over."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from perdure.errors.base import Conflict, NotFound, StoreFull, StoreUnsuitable
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import State
from perdure.stores.sql.verify import RULES
from perdure.stores.sqlite import migrate as migrating
from perdure.stores.sqlite.ground import prepare
from perdure.stores.sqlite.migrate import LATEST, migrate
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.upkeep import SqliteUpkeep
from perdure.testing import FakeClock
from perdure.testing.given import alive, put, runs, state, states, take
from released.keep import facts, live


@pytest.fixture
def upkeep(path: Path) -> SqliteUpkeep:
    return SqliteUpkeep(path, run_dir=path.parent / "run")


@pytest.fixture
async def lived(path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    """A store in which everything has happened to somebody."""
    async with SqliteStore(path, clock=clock) as store:
        await live(store, clock)
        yield store


async def test_where_nothing_is_there_is_nothing_to_do_and_nothing_to_copy(upkeep: SqliteUpkeep, tmp_path: Path) -> None:
    assert len(await upkeep.pending()) == len(migrating._MIGRATIONS)
    with pytest.raises(NotFound):
        await upkeep.backup(tmp_path / "copy.db")
    with pytest.raises(NotFound):
        await upkeep.verify()


async def test_a_first_upgrade_makes_the_store_and_copies_nothing(upkeep: SqliteUpkeep, path: Path) -> None:
    done = await upkeep.upgrade()

    assert (len(done.applied), done.backup) == (LATEST, None)
    assert await upkeep.upgrade() == type(done)(applied=[], backup=None)
    assert [file.name for file in path.parent.glob("*.db")] == ["perdure.db"]


async def test_an_upgrade_keeps_a_copy_of_what_was(upkeep: SqliteUpkeep, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteStore(path) as store:
        known = await put(store)
    step = path.parent / "9999_more.sql"
    step.write_text("ALTER TABLE counter ADD COLUMN more TEXT;")
    monkeypatch.setattr(migrating, "_MIGRATIONS", [*migrating._MIGRATIONS, step])
    assert await upkeep.pending() == ["9999_more"]

    done = await upkeep.upgrade()

    assert done.applied == ["9999_more"]
    assert done.backup is not None
    assert f"schema-{LATEST:04}" in done.backup
    kept = apsw.Connection(done.backup)
    assert kept.pragma("user_version") == LATEST
    assert kept.execute("SELECT id FROM ready").get == known
    kept.close()


async def test_upgrades_at_once_are_one(upkeep: SqliteUpkeep) -> None:
    done = await asyncio.gather(*(upkeep.upgrade() for _ in range(4)))

    assert sorted(len(one.applied) for one in done) == [0, 0, 0, LATEST]


def test_no_room_for_the_copy_is_no_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run_dir = tmp_path / "perdure.db", tmp_path / "run"
    prepare(path, run_dir)
    steps = [tmp_path / "1.sql", tmp_path / "2.sql"]
    steps[0].write_text("CREATE TABLE one (a);")
    steps[1].write_text("CREATE TABLE two (a);")
    migrate(path, run_dir, wait_s=1, migrations=steps[:1])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 99, 1))

    with pytest.raises(StoreFull, match="no room for a copy"):
        migrate(path, run_dir, wait_s=1, migrations=steps)

    assert migrate(path, run_dir, wait_s=1, migrations=steps, backup=False) == (["2"], None)


async def test_a_copy_is_made_while_others_write(upkeep: SqliteUpkeep, lived: SqliteStore, tmp_path: Path, clock: FakeClock) -> None:
    before = await facts(lived)
    writing = asyncio.create_task(_keep_writing(lived))

    await upkeep.backup(tmp_path / "copy.db")

    writing.cancel()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    async with SqliteStore(tmp_path / "copy.db", clock=clock) as copy:
        said = await facts(copy)
    known = {str(view["message"]["id"]) for view in before["views"]}
    assert known <= {str(view["message"]["id"]) for view in said["views"]}


async def _keep_writing(store: SqliteStore) -> None:
    while True:
        await put(store)


async def test_a_copy_takes_nobodys_place(upkeep: SqliteUpkeep, lived: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")

    with pytest.raises(Conflict, match="there already"):
        await upkeep.backup(tmp_path / "copy.db")

    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_restored_store_is_what_was_copied_and_the_other_is_kept(
    upkeep: SqliteUpkeep, path: Path, tmp_path: Path, clock: FakeClock
) -> None:
    async with SqliteStore(path, clock=clock) as store:
        early = await put(store)
        await upkeep.backup(tmp_path / "copy.db")
        late = await put(store)

    done = await upkeep.restore(tmp_path / "copy.db")

    async with SqliteStore(path, clock=clock) as store:
        assert await state(store, early) is State.READY
        with pytest.raises(NotFound):
            await store.messages.get(late)
        assert await put(store) > early
    async with SqliteStore(str(done.replaced), clock=clock, run_dir=tmp_path / "other") as store:
        assert await state(store, late) is State.READY
    assert (tmp_path / "copy.db").exists()


async def test_what_ran_when_it_was_copied_runs_again(upkeep: SqliteUpkeep, path: Path, tmp_path: Path, clock: FakeClock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        lease = await runs(store)
        await upkeep.backup(tmp_path / "copy.db")
        await store.messages.done(lease, b"null")
    clock.pass_by(seconds=60)
    await upkeep.restore(tmp_path / "copy.db")

    async with SqliteStore(path, clock=clock) as store:
        await store.workers.reap()
        [again] = await take(store, await alive(store))

    assert again.message.id == lease.message.id
    assert again.token > lease.token


async def test_a_store_in_use_is_not_replaced(upkeep: SqliteUpkeep, lived: SqliteStore, path: Path, tmp_path: Path) -> None:
    await upkeep.backup(tmp_path / "copy.db")

    with pytest.raises(Conflict, match="somebody uses the store"):
        await upkeep.restore(tmp_path / "copy.db")

    await lived.check()
    assert sorted(file.name for file in path.parent.glob("perdure.db*")) == ["perdure.db", "perdure.db-shm", "perdure.db-wal"]


@pytest.mark.parametrize("content", [b"", b"once upon a time " * 500])
async def test_what_is_no_copy_is_not_put_in_place(upkeep: SqliteUpkeep, path: Path, tmp_path: Path, content: bytes) -> None:
    await upkeep.upgrade()
    (tmp_path / "copy.db").write_bytes(content)

    with pytest.raises(StoreUnsuitable):
        await upkeep.restore(tmp_path / "copy.db")

    assert await upkeep.verify() == []


async def test_a_damaged_file_is_found_and_can_be_replaced(upkeep: SqliteUpkeep, path: Path, tmp_path: Path, clock: FakeClock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        await live(store, clock)
        await upkeep.backup(tmp_path / "copy.db")
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 9] + b"\xff" * 4096 * 4 + whole[4096 * 13 :])
    [fault] = await upkeep.verify()
    assert fault.check == "file"

    done = await upkeep.restore(tmp_path / "copy.db")

    assert await upkeep.verify() == []
    assert Path(str(done.replaced)).read_bytes() != whole


async def test_a_store_that_has_lived_is_sound(upkeep: SqliteUpkeep, lived: SqliteStore) -> None:
    assert await upkeep.verify() == []


async def test_a_store_in_which_messages_are_held_is_sound(upkeep: SqliteUpkeep, path: Path, clock: FakeClock) -> None:
    """By a session, and by a limit, with one of each at work."""
    async with SqliteStore(path, clock=clock) as store:
        await store.messages.set_limit(Limit(scope=Scope.QUEUE, name="slow", at_once=1))
        ids = [await put(store, session="customer-17") for _ in range(3)] + [await put(store, queue="slow") for _ in range(3)]
        await take(store, await alive(store), 2)
        assert await states(store, ids) == [State.LEASED, State.HELD, State.HELD] * 2
        assert await upkeep.verify() == []
    assert await upkeep.verify() == []


BREAKING = {
    "places": "DELETE FROM ready WHERE id = (SELECT min(id) FROM ready)",
    "strays": "INSERT INTO waiting (id, route, tenant, wait) VALUES (7, 1, 1, x'7b7d')",
    "routes": "UPDATE later SET tenant = 77 WHERE id = (SELECT min(id) FROM later)",
    "priorities": "UPDATE ready SET priority = 7 WHERE id = (SELECT min(id) FROM ready)",
    "held": "INSERT INTO held (id, route, tenant, priority, tag, since) VALUES (7, 1, 1, 5, 1, 0)",
    "lines": "INSERT INTO session (tenant, name, head, urgency) VALUES (1, 'x', 7, 5)",
    "sessions": "UPDATE message SET session = 'x' WHERE id = (SELECT min(id) FROM ready)",
    "gates": "INSERT INTO gate (cap, key, used, held, dirty) VALUES (1, '', 3, 0, 0)",
    "tenants": "UPDATE message SET tenant = 77 WHERE id = (SELECT min(id) FROM message)",
    "leases": "UPDATE worker SET ended_at = 1",
    "dedup": "UPDATE dedup SET key = 'other'",
    "deadlines": "UPDATE message SET deadline = 9e9 WHERE id = (SELECT min(id) FROM ready)",
    "steps": "UPDATE step SET message = 7 WHERE id = 1",
    "requests": "INSERT INTO request (step, data) VALUES (777, x'')",
    "logs": "UPDATE attempt SET message = 7",
    "edits": "INSERT INTO edit (message, at, who, was) VALUES (7, 1, '', x'7b7d')",
    "numbers": "UPDATE lease SET token = token + (1 << 50)",
    "counts": "UPDATE kept SET n = n + 1 WHERE what = 'tally' AND b = 'now'",
}


@pytest.mark.parametrize("rule", [*(rule.removeprefix("verify_") for rule in RULES), "counts"])
async def test_each_rule_finds_what_breaks_it(upkeep: SqliteUpkeep, lived: SqliteStore, path: Path, rule: str) -> None:
    file = apsw.Connection(str(path))
    file.execute(BREAKING[rule])
    file.close()

    found = {fault.check: fault for fault in await upkeep.verify()}

    assert rule in found
    assert found[rule].n >= 1
    assert found[rule].examples


async def test_an_older_file_is_to_be_upgraded_before_it_is_looked_over(
    upkeep: SqliteUpkeep, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upkeep.upgrade()
    monkeypatch.setattr(migrating, "_MIGRATIONS", [*migrating._MIGRATIONS, Path("9999_more.sql")])

    with pytest.raises(Conflict, match="older shape"):
        await upkeep.verify()
