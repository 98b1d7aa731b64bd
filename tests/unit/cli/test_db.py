"""db: upgrade, backup, restore, verify, against a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.stores.sqlite import migrate as migrating
from perdure.stores.sqlite.migrate import LATEST
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.given import put

Perdure = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def filled(data: Path) -> Path:
    async def fill() -> None:
        async with SqliteStore(data / "perdure.db") as store:
            await put(store)

    asyncio.run(fill())
    return data


def test_a_new_store_is_made_step_by_step(perdure: Perdure, data: Path) -> None:
    ran = perdure("db", "upgrade", "--data", str(data))

    assert ran.code == 0
    assert ran.out.splitlines() == [step.stem for step in migrating._MIGRATIONS]
    assert perdure("db", "upgrade", "--data", str(data), "--json").json == {"applied": [], "backup": None}


def test_a_dry_run_says_what_would_be_done_and_does_not(perdure: Perdure, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = filled / "9999_more.sql"
    more.write_text("CREATE TABLE more (a);")
    monkeypatch.setattr(migrating, "_MIGRATIONS", [*migrating._MIGRATIONS, more])

    assert perdure("db", "upgrade", "--dry-run", "--data", str(filled)).out == "9999_more\n"
    assert perdure("db", "upgrade", "--dry-run", "--data", str(filled), "--json").json == {"pending": ["9999_more"]}

    file = apsw.Connection(str(filled / "perdure.db"))
    assert file.pragma("user_version") == LATEST
    file.close()


def test_an_upgrade_says_where_the_copy_is(perdure: Perdure, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = filled / "9999_more.sql"
    more.write_text("CREATE TABLE more (a);")
    monkeypatch.setattr(migrating, "_MIGRATIONS", [*migrating._MIGRATIONS, more])

    ran = perdure("db", "upgrade", "--data", str(filled))

    [kept] = filled.glob("perdure.schema-*.db")
    assert str(kept) in ran.err


def test_a_copy_goes_and_comes_back(perdure: Perdure, filled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    told = perdure("db", "backup", str(copy), "--data", str(filled), "--json").json
    assert told == {"file": str(copy), "size_bytes": copy.stat().st_size}

    again = perdure("db", "backup", str(copy), "--data", str(filled))
    assert (again.code, again.out) == (4, "")

    ran = perdure("db", "restore", str(copy), "--data", str(filled))
    assert (ran.code, ran.out) == (0, "")
    [replaced] = filled.glob("perdure.replaced-*.db")
    assert str(replaced) in ran.err
    assert perdure("db", "verify", "--data", str(filled), "--json").json == []


def test_a_copy_that_is_not_there_is_not_found(perdure: Perdure, filled: Path) -> None:
    assert perdure("db", "restore", "nowhere.db", "--data", str(filled)).code == 3


def test_what_is_wrong_is_told_and_fails(perdure: Perdure, filled: Path) -> None:
    file = apsw.Connection(str(filled / "perdure.db"))
    file.execute("DELETE FROM ready")
    file.close()

    ran = perdure("db", "verify", "--data", str(filled))

    assert ran.code == 1
    assert "places: 1 messages that are in no place, or in more than one" in ran.out
    assert "counts: 1 kept numbers" in ran.out
    assert {fault["check"] for fault in perdure("db", "verify", "--data", str(filled), "--json").json} == {"places", "counts"}


def test_where_no_store_is_there_is_none_to_verify(perdure: Perdure, data: Path) -> None:
    ran = perdure("db", "verify", "--data", str(data))

    assert ran.code == 3
    assert "there is no store" in ran.err


def test_a_store_in_postgresql_is_looked_after_too(
    perdure: Perdure, empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", empty_postgres_url)

    planned = perdure("db", "upgrade", "--dry-run")
    assert "0001_first" in planned.out
    assert perdure("db", "upgrade").out == planned.out
    assert perdure("db", "verify", "--json").json == []
