"""A file is brought to its shape once, and one that is not ours is left alone."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors.base import StoreBusy, StoreUnsuitable
from perdure.stores.sqlite import migrate as migrating
from perdure.stores.sqlite.ground import file_system_of, prepare
from perdure.stores.sqlite.migrate import LATEST, migrate
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.given import put


async def test_a_new_file_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data" / "perdure.db"
    async with SqliteStore(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.with_name("perdure.db-wal").stat().st_mode) == 0o600
        assert stat.S_IMODE((path.parent / "run").stat().st_mode) == 0o700


async def test_the_file_says_what_it_is(store: SqliteStore, file: apsw.Connection) -> None:
    assert file.pragma("user_version") == LATEST
    assert file.pragma("application_id") != 0
    assert file.pragma("journal_mode") == "wal"
    assert file.pragma("auto_vacuum") == 2


async def test_a_newer_schema_is_refused(store: SqliteStore, file: apsw.Connection, path: Path) -> None:
    file.pragma("user_version", LATEST + 1)

    with pytest.raises(StoreUnsuitable, match=f"schema {LATEST + 1}"):
        await SqliteStore(path).__aenter__()


async def test_another_programs_database_is_refused_and_unchanged(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE recipes (name)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(StoreUnsuitable, match="another program"):
        await SqliteStore(path).__aenter__()

    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"once upon a time " * 500)

    with pytest.raises(StoreUnsuitable):
        await SqliteStore(path).__aenter__()


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnsuitable):
        await SqliteStore(tmp_path / "file" / "perdure.db").__aenter__()


def locks_on(path: Path) -> list[str]:
    """As the kernel lists them, without their place in its list, which changes with everybody else's."""
    lines = [line.partition(":")[2] for line in Path("/proc/locks").read_text().splitlines()]
    return sorted(line for line in lines if f":{path.stat().st_ino} " in line)


async def test_opening_a_file_again_in_this_process_drops_no_lock(store: SqliteStore, path: Path) -> None:
    locks = locks_on(path)
    prepare(path, path.parent / "run")

    assert locks
    assert locks_on(path) == locks


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "_OLDEST_SQLITE", 9_000_000)

    with pytest.raises(StoreUnsuitable, match="can damage files"):
        await SqliteStore(path).__aenter__()


async def test_processes_that_start_at_once_make_one_file(path: Path, program: Any, line: Any) -> None:
    source = """
        import asyncio, sys
        from perdure.stores.sqlite.store import SqliteStore
        from perdure.testing.given import put

        async def main():
            input()
            async with SqliteStore(sys.argv[1]) as store:
                print(await put(store), flush=True)

        print("here", flush=True)
        asyncio.run(main())
    """
    programs = [program(source, path) for _ in range(3)]
    assert [await line(one) for one in programs] == ["here"] * 3
    for one in programs:
        one.stdin.write("\n")
        one.stdin.flush()

    ids = await asyncio.gather(*(line(one) for one in programs))

    assert len(set(ids)) == 3


async def test_stores_opened_at_once_find_one_schema(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(5)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    ids = [await put(store) for store in stores]
    for store in stores:
        await store.__aexit__(None, None, None)

    assert ids == sorted(set(ids))


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path, run_dir = tmp_path / "perdure.db", tmp_path / "run"
    prepare(path, run_dir)
    steps = [tmp_path / "1.sql", tmp_path / "2.sql"]
    steps[0].write_text("CREATE TABLE one (a);")
    steps[1].write_text("CREATE TABLE two (a); CREATE TABLE one (again);")

    with pytest.raises(apsw.SQLError):
        migrate(path, run_dir, wait_s=1, migrations=steps)

    found = apsw.Connection(str(path))
    assert (found.pragma("user_version"), found.execute("SELECT count(*) FROM sqlite_schema").get) == (0, 0)
    found.close()


def test_an_older_file_is_brought_up_step_by_step(tmp_path: Path) -> None:
    path, run_dir = tmp_path / "perdure.db", tmp_path / "run"
    prepare(path, run_dir)
    steps = [tmp_path / "1.sql", tmp_path / "2.sql"]
    steps[0].write_text("CREATE TABLE one (a); INSERT INTO one VALUES (1);")
    steps[1].write_text("ALTER TABLE one ADD COLUMN b; UPDATE one SET b = a + 1;")
    migrate(path, run_dir, wait_s=1, migrations=steps[:1])

    migrate(path, run_dir, wait_s=1, migrations=steps)
    migrate(path, run_dir, wait_s=1, migrations=steps)

    found = apsw.Connection(str(path))
    assert found.execute("SELECT a, b FROM one").fetchall() == [(1, 2)]
    assert found.pragma("user_version") == 2
    found.close()


def test_who_waits_too_long_for_another_upgrade_hears_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "_SHORTEST_WAIT_S", 0.02)
    path, run_dir = tmp_path / "perdure.db", tmp_path / "run"
    prepare(path, run_dir)

    with migrating.alone(run_dir, 1), pytest.raises(StoreBusy):
        migrate(path, run_dir, wait_s=0.02)


MOUNTS = """\
overlay / overlay rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local\\040disk ext4 rw 0 0
drvfs /mnt/c 9p rw,aname=drvfs;path=C:\\ 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/data", "overlay"),
        ("/home/ann/.perdure", "nfs4"),
        ("/home/local disk/data", "ext4"),
        ("/homeless", "overlay"),
        ("/mnt/c/data", "9p:drvfs"),
    ],
)
def test_the_file_system_is_that_of_the_deepest_mount(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)

    assert file_system_of(Path(folder), mounts) == kind


def test_where_the_kernel_has_no_list_nothing_is_said(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, tmp_path / "none") is None


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perdure.stores.sqlite import ground

    monkeypatch.setattr(ground, "file_system_of", lambda folder: "nfs4")

    with pytest.raises(StoreUnsuitable, match="network file system") as caught:
        prepare(tmp_path / "perdure.db", tmp_path / "run")

    assert "PostgreSQL" in str(caught.value.hint)
    assert not (tmp_path / "perdure.db").exists()
